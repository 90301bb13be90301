"""Real faults while an artifact is published: a kill or an I/O error at every step, full and read-only disks.

Rows 5 to 9 of the fault table, for a whole archive. Mounts and system-call faults need root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.archive_making import Y, copy_archive, publish
from support.paths import child_environment

from timeproof.engines.protocol import ImageFacts
from timeproof.errors import StorageFailed
from timeproof.replaying.flow import replay
from timeproof.sealing.flow import Request, archive_model
from timeproof.store.layout import Archive
from timeproof.store.verify import verify
from timeproof.testing.archives import ENVIRONMENT, IMAGE
from timeproof.testing.fake_engine import FakeEngine, answering

pytestmark = pytest.mark.slow

# Every spelling that a kernel may have; strace skips a name with ? that this machine lacks.
STEPS = {
    "fsync": "fsync",
    "rename": "?rename,?renameat,?renameat2",
    "link": "?link,?linkat",
    "unlink": "?unlink,?unlinkat,?rmdir",
    "mkdir": "?mkdir,?mkdirat",
}
HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)


@pytest.fixture(scope="module")
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed")
    words = [found, "-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    return found


@pytest.fixture(scope="module")
def publisher(strace: str) -> Iterator[Callable[[Path, str], int]]:
    """Publish into an archive, with a fault; gives the exit code, negative where a signal ended it."""
    words = [sys.executable, "-m", "support.publishing_child"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=child_environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def with_fault(root: Path, fault: str) -> int:
            stdin.write(f"{root}\n")
            stdin.flush()
            pid = stdout.readline().strip()
            words = [strace, "-p", pid, "-e", f"trace={fault.split(':')[0]}", "-e", f"inject={fault}"]
            with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracing:
                assert tracing.stderr is not None
                attached = tracing.stderr.readline()
                assert "attached" in attached, attached
                root.with_suffix(".go").touch()
                code = int(stdout.readline())
                tracing.stderr.read()
            return code

        yield with_fault
        stdin.close()


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_an_artifact_is_absent_or_complete_and_the_next_run_cleans_up(
    tmp_path, small, publisher, step
):
    """Killed at the first such step, the second, … until one run gets through."""
    for when in range(1, 60):
        archive = Archive(copy_archive(small.root, tmp_path / f"killed-{when}"))
        code = publisher(archive.root, f"{STEPS[step]}:signal=SIGKILL:when={when}")
        there = archive.versions(8, "xgboost")
        assert there in ([1], [1, 2]), (when, there)
        report = verify(archive)
        assert report.ok, (when, [f.message for f in report.findings])
        if code == 0:
            assert there == [1, 2]
            assert report.leftovers == []
            break
        assert code == -9, (when, code)
        again = publish(archive, "xgboost")
        assert again.version == len(there) + 1, "no version is lost"
        report = verify(archive)
        assert report.ok, (when, [f.message for f in report.findings])
        fresh = [p for p in report.leftovers if not _single_file(p)]
        assert fresh == [], (when, fresh)
        shutil.rmtree(archive.root)
    else:
        pytest.fail("no run got through")
    assert when > 1, "nothing was ever killed"


def _single_file(path: str) -> bool:
    """What a killed write of one file left: swept once it is an hour old, for it names no maker."""
    parts = path.split("/")
    return parts[-1].startswith(".staging-") and len(parts[-1]) == len(".staging-") + 16


@pytest.mark.parametrize("step", ["fsync", "rename", "link"])
@pytest.mark.parametrize("code", ["EIO", "ENOSPC"])
def test_an_error_of_the_disk_at_any_step_is_a_storage_failure_and_nothing_is_published(
    tmp_path, small, publisher, step, code
):
    for when in range(1, 60):
        archive = Archive(copy_archive(small.root, tmp_path / f"failed-{when}"))
        ended = publisher(archive.root, f"{STEPS[step]}:error={code}:when={when}")
        report = verify(archive)
        assert report.ok, (when, [f.message for f in report.findings])
        assert report.leftovers == [], when
        if ended == 0:
            assert archive.versions(8, "xgboost") == [1, 2]
            break
        assert ended == StorageFailed.exit_code, when
        assert archive.versions(8, "xgboost") == [1]
        assert publish(archive, "xgboost").version == 2
        shutil.rmtree(archive.root)
    else:
        pytest.fail("no run got through")
    assert when > 1, "nothing ever failed"


# --- full and read-only disks ---------------------------------------------------------------------


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    made: list[Path] = []

    def mounted(name: str, *words: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        if os.geteuid() != 0:
            pytest.skip("mounting needs root")
        done = subprocess.run(["mount", *words, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"this container may not mount: {done.stderr.strip()}")
        made.append(folder)
        return folder

    yield mounted
    for folder in reversed(made):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def big_graph(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """An ONNX file of 3 MB."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [750_000])
    weight = numpy_helper.from_array(np.zeros(750_000, np.float32), "w")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "big", [x], [y], initializer=[weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, folder / "big.onnx")
    return folder / "big.onnx", {"x": np.zeros(1, np.float32)}


def test_a_disk_that_fills_up_while_archiving_is_named_and_leaves_nothing(tmp_path, small, mount):
    disk = mount("disk", "-t", "tmpfs", "-o", "size=2m", "tmpfs")
    archive = Archive(copy_archive(small.root, disk / "archive"))
    before = {p: p.read_bytes() for p in archive.root.rglob("*") if p.is_file()}
    path, inputs = big_graph(tmp_path)
    fake = FakeEngine(answering({}), [HELD])
    with pytest.raises(StorageFailed, match="No space left") as caught:
        archive_model(archive, Request(path, inputs, 8, environment=ENVIRONMENT), lambda: fake)
    assert caught.value.exit_code == 7
    assert str(disk) in caught.value.path
    there = {p: p.read_bytes() for p in archive.root.rglob("*") if p.is_file() and p.name != ".lock"}
    assert there == {p: data for p, data in before.items() if p.name != ".lock"}
    assert verify(archive).ok
    assert publish(archive, "xgboost").version == 2, "there is room again"


def test_a_disk_that_fills_up_with_the_answer_is_named_and_leaves_nothing(tmp_path, small, mount):
    from support import tiny_models

    disk = mount("disk", "-t", "tmpfs", "-o", "size=2m", "tmpfs")
    archive = Archive(copy_archive(small.root, disk / "archive"))
    path, inputs = tiny_models.graph(tmp_path)
    huge = {"y": np.zeros(1 << 20, np.float32)}
    fake = FakeEngine(answering({"grid-size-8/onnx/v1": huge}), [HELD])
    request = Request(path, inputs, 8, environment=ENVIRONMENT, keep_different=True)
    with pytest.raises(StorageFailed, match="No space left"):
        archive_model(archive, request, lambda: fake)
    assert not list(archive.root.rglob("*onnx_v1*"))
    report = verify(archive)
    assert report.ok
    assert report.leftovers == []


def test_a_read_only_archive_is_verified_and_replayed_and_named_when_archiving(tmp_path, small, mount):
    view = mount("view", "--bind", str(small.root))
    subprocess.run(["mount", "-o", "remount,bind,ro", str(view)], check=True)
    archive = Archive(view)
    assert verify(archive).ok
    answers = {str(ref): Y for ref in archive.refs()}
    assert replay(archive, list(archive.refs()), FakeEngine(answering(answers), [HELD])).passes()
    with pytest.raises(StorageFailed, match="Read-only file system") as caught:
        publish(archive, "xgboost")
    assert str(view) in caught.value.path


def test_an_archive_of_a_careful_user_is_replayed_all_the_same(tmp_path, small):
    """umask 077: what the toolkit makes is open to the container's user, or is copied for it."""
    before = os.umask(0o077)
    try:
        ref = publish(small, "lightgbm", 99)
    finally:
        os.umask(before)
    assert (small.root / "grid-size-99").stat().st_mode & 0o077 == 0
    fake = FakeEngine(answering({str(ref): Y}), [HELD])
    assert replay(small, [ref], fake).passes()
    mounted = [m.source for m in fake.specs[0].mounts]
    assert small.root / ref.folder not in mounted, "the container's user could not have read it"
