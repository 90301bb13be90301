"""Real faults under the smallest write: no space, no permission, a kill or an I/O error at each step.

Rows 5 to 9 of the fault table. Mounts and system-call faults need root; without it these are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.waiting import HANG_SECONDS

from timeproof.base import atomic
from timeproof.base.paths import list_tree, open_regular
from timeproof.errors import StorageFailed

pytestmark = pytest.mark.slow

# Both spellings where kernels have two; strace skips a name with ? that this machine lacks.
RENAME = "?rename,?renameat,?renameat2"
LINK = "?link,?linkat"
OLD, NEW = b"old " * 1000, b"new " * 1000


@contextmanager
def mounted(folder: Path, *words: str) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    done = subprocess.run(["mount", *words, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this container may not mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs") as folder:
        yield folder


@pytest.fixture(scope="module")
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed")
    probe = [found, "-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    return found


# --- no space, no permission ------------------------------------------------------------------


@pytest.mark.parametrize("replace", [True, False])
def test_a_full_disk_is_named_and_leaves_all_as_it_was(small_disk: Path, replace: bool) -> None:
    if replace:
        atomic.write(small_disk / "x", OLD)
    before = {p: (small_disk / p).read_bytes() for p in list_tree(small_disk)}
    with pytest.raises(StorageFailed, match="No space left on device") as caught:
        atomic.write(small_disk / "x", b"x" * 2_000_000, replace=replace)
    assert caught.value.path == str(small_disk / "x")
    assert {p: (small_disk / p).read_bytes() for p in list_tree(small_disk)} == before
    atomic.write(small_disk / "x", NEW, replace=replace)  # the space is free again


def test_staging_on_a_full_disk_leaves_nothing(small_disk: Path) -> None:
    def fill() -> None:
        with atomic.storage(small_disk), atomic.Staging(small_disk, "v1") as staging:
            (staging.path / "x").write_bytes(b"x" * 2_000_000)

    with pytest.raises(StorageFailed, match="No space left"):
        fill()
    assert list_tree(small_disk) == []
    assert os.listdir(small_disk) == []


def test_a_read_only_folder_is_read_and_named_where_it_is_written(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "x").write_bytes(OLD)
    with mounted(tmp_path / "view", "--bind", str(real)) as view:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(view)], check=True)
        with open_regular(view, "x") as stream:
            assert stream.read() == OLD
        for replace in (True, False):
            with pytest.raises(StorageFailed, match="Read-only file system"):
                atomic.write(view / "x", NEW, replace=replace)
        with pytest.raises(StorageFailed, match="Read-only file system"):
            atomic.Staging(view)
        with pytest.raises(StorageFailed, match="Read-only file system"), atomic.lock(view):
            pass
    assert {p: (real / p).read_bytes() for p in list_tree(real)} == {"x": OLD}


# --- faults at each system call ---------------------------------------------------------------

WRITE = """
import sys
from pathlib import Path
from timeproof.base import atomic
from timeproof.errors import TimeproofError
try:
    atomic.write(Path(sys.argv[1]), b"new " * 1000, replace=sys.argv[2] == "replace")
except TimeproofError as error:
    print(error.kind)
    sys.exit(error.exit_code)
print("written")
"""

STAGE = """
import os, sys
from pathlib import Path
from timeproof.base import atomic
from timeproof.errors import TimeproofError
target = Path(sys.argv[1])
try:
    with atomic.storage(target), atomic.Staging(target.parent, "v1") as staging:
        (staging.path / "a").write_bytes(b"new " * 1000)
        (staging.path / "b").write_bytes(b"new " * 1000)
        atomic.sync_all([staging.path])
        os.rename(staging.path, target)
        atomic.sync_folder(target.parent)
except TimeproofError as error:
    print(error.kind)
    sys.exit(error.exit_code)
print("written")
"""


def inject(strace: str, fault: str, script: str, *words: object) -> subprocess.CompletedProcess[str]:
    calls = fault.partition(":")[0]
    options = ["-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={fault}"]
    # -B: a cached .pyc is renamed into place as well.
    argv = [strace, *options, sys.executable, "-B", "-c", script, *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)


def killed(done: subprocess.CompletedProcess[str]) -> bool:
    """strace ends itself by the signal that ended what it traced."""
    return done.returncode in {-9, 137}


# A write syncs the file, then gives it its name, then syncs the folder.
STEPS = [("fsync", 1), ("fsync", 2), ("name", 1)]


@pytest.mark.parametrize("mode", ["replace", "new"])
@pytest.mark.parametrize(("call", "when"), STEPS)
def test_a_kill_at_any_step_leaves_a_file_absent_or_complete(
    strace: str, tmp_path: Path, mode: str, call: str, when: int
) -> None:
    target = tmp_path / "x"
    if mode == "replace":
        target.write_bytes(OLD)
    calls = {"fsync": "fsync", "name": RENAME if mode == "replace" else LINK}[call]
    done = inject(strace, f"{calls}:signal=SIGKILL:when={when}", WRITE, target, mode)
    assert killed(done), done
    after = target.read_bytes() if target.exists() else None
    named = (call, when) == ("fsync", 2)
    assert after == (NEW if named else OLD if mode == "replace" else None)

    atomic.sweep(tmp_path, older_than=0)
    assert os.listdir(tmp_path) == (["x"] if after is not None else [])
    if mode == "replace" or after is None:  # a rerun succeeds
        atomic.write(target, NEW, replace=mode == "replace")
    assert target.read_bytes() == NEW


@pytest.mark.parametrize("mode", ["replace", "new"])
@pytest.mark.parametrize(("call", "when"), STEPS)
@pytest.mark.parametrize("code", ["EIO", "ENOSPC"])
def test_an_error_at_any_step_is_a_failure_and_never_a_success(
    strace: str, tmp_path: Path, mode: str, call: str, when: int, code: str
) -> None:
    target = tmp_path / "x"
    if mode == "replace":
        target.write_bytes(OLD)
    calls = {"fsync": "fsync", "name": RENAME if mode == "replace" else LINK}[call]
    done = inject(strace, f"{calls}:error={code}:when={when}", WRITE, target, mode)
    assert (done.returncode, done.stdout) == (StorageFailed.exit_code, "StorageFailed\n"), done
    assert os.listdir(tmp_path) == (["x"] if mode == "replace" else [])
    if mode == "replace":
        # Once renamed, only the folder's own sync is left to fail: the file is complete either way.
        assert target.read_bytes() == (NEW if (call, when) == ("fsync", 2) else OLD)


def test_a_file_that_can_not_be_synced_is_not_published_however_often_it_fails(
    strace: str, tmp_path: Path
) -> None:
    done = inject(strace, "fsync:error=EIO", WRITE, tmp_path / "x", "new")
    assert done.stdout == "StorageFailed\n"
    assert os.listdir(tmp_path) == []


# Three files' and folders' syncs, the rename, and the sync of the folder that holds it.
@pytest.mark.parametrize(("calls", "when"), [("fsync", n) for n in range(1, 5)] + [(RENAME, 1)])
def test_a_kill_at_any_step_leaves_a_folder_absent_or_complete(
    strace: str, tmp_path: Path, calls: str, when: int
) -> None:
    target = tmp_path / "v1"
    done = inject(strace, f"{calls}:signal=SIGKILL:when={when}", STAGE, target)
    assert killed(done), done
    expected = {"v1/a": NEW, "v1/b": NEW} if (calls, when) == ("fsync", 4) else {}
    assert atomic.live_staging(tmp_path) == []
    atomic.sweep(tmp_path)
    assert {p: (tmp_path / p).read_bytes() for p in list_tree(tmp_path)} == expected


@pytest.mark.parametrize(("calls", "when"), [("fsync", 1), ("fsync", 3), (RENAME, 1)])
def test_an_error_at_any_step_leaves_no_folder(strace: str, tmp_path: Path, calls: str, when: int) -> None:
    done = inject(strace, f"{calls}:error=EIO:when={when}", STAGE, tmp_path / "v1")
    assert (done.returncode, done.stdout) == (StorageFailed.exit_code, "StorageFailed\n"), done
    assert os.listdir(tmp_path) == []


def test_the_steps_are_those_that_are_tested(strace: str, tmp_path: Path) -> None:
    """A step more, and the tests above would leave it out."""
    for script, words, syncs in ((WRITE, ["new"], 2), (STAGE, [], 4)):
        target = tmp_path / f"{syncs}"
        assert (
            inject(strace, f"fsync:error=EIO:when={syncs + 1}", script, target, *words).stdout == "written\n"
        )
        target = tmp_path / f"{syncs}-again"
        last = inject(strace, f"fsync:error=EIO:when={syncs}", script, target, *words)
        assert last.stdout == "StorageFailed\n"


# --- several writers --------------------------------------------------------------------------

RACE = """
import sys
from pathlib import Path
from timeproof.base import atomic
from timeproof.errors import Exists
target, number = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
try:
    atomic.write(target, number.encode() * 100_000, replace=False)
except Exists:
    print("Exists")
else:
    print("won")
"""


def test_of_eight_writers_one_wins_and_the_others_are_told(tmp_path: Path) -> None:
    target = tmp_path / "x"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(target), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(8)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=HANG_SECONDS)[0].strip() for racer in racers]
    assert sorted(said) == ["Exists"] * 7 + ["won"]
    assert target.read_bytes() == str(said.index("won")).encode() * 100_000
    assert os.listdir(tmp_path) == ["x"]
