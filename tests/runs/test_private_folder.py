"""What a container is given: the listed files, hashed as they were copied, and inputs without answers."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.archive_making import X, Y, break_hard_link, fill, flip, metadata_of, publish, reseal

from timeproof.base.digests import Digest
from timeproof.base.paths import list_tree
from timeproof.errors import (
    DigestMismatch,
    Malformed,
    ManyFindings,
    Missing,
    NoSpace,
    NotRegular,
    SizeMismatch,
    StorageFailed,
)
from timeproof.replaying.grading import task_of
from timeproof.runs.private_folder import PrivateFolder
from timeproof.runs.task import Task
from timeproof.store import publish as writer
from timeproof.store import reference
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.store.verify import verify

REF = Ref.parse("grid-size-8/xgboost/v1")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """A temp folder of one's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def task(archive: Archive, ref: Ref = REF) -> Task:
    return task_of(archive, ref, read_metadata(archive, ref))


def inside(folder: PrivateFolder) -> dict[str, bytes]:
    root = folder.path / "in"
    return {path: (root / path).read_bytes() for path in list_tree(root)}


def written(**groups: object) -> bytes:
    stream = io.BytesIO()
    reference.write(stream, **groups)  # type: ignore[arg-type]
    return stream.getvalue()


def rewrite_reference(archive: Archive, data: bytes) -> None:
    """Replace the reference, and have the metadata say so, as an attacker would."""
    folder = archive.root / REF.folder
    break_hard_link(folder / "reference_xgb_v1.npz").write_bytes(data)

    def edit(metadata):
        for entry in metadata["files"]:
            if entry["role"] == "reference":
                entry.update(size=len(data), sha256=Digest.of(data).hex)

    reseal(folder / "metadata_xgb_v1.json", edit)


def test_the_reference_inside_is_what_it_was_before_it_had_answers(small):
    with PrivateFolder([task(small)]) as folder:
        found = inside(folder)
        (given,) = (f for f in folder.handed[str(REF)].files if f.role == "reference")
    data = found["0/reference_xgb_v1.npz"]
    assert data == written(input=X)
    assert (given.size, given.sha256) == (len(data), Digest.of(data).hex)
    recorded = Y["y"].tobytes()
    assert not any(recorded in held for held in found.values())


def test_only_what_is_asked_for_is_inside(small):
    """Neither the metadata, nor other artifacts, nor files that nobody lists, nor other formats."""
    publish(small, "xgboost")
    folder = small.root / REF.folder
    (folder / "model_xgb_v1.json.bak").write_bytes(b"a stray file")
    with writer.draft(small, 8, "xgboost") as draft:
        files = fill(draft, b"a model")
        for name, role in (("w.npz", "witness"), ("dump.json", "optional"), ("copy.onnx", "interchange")):
            (draft.folder / name).write_bytes(b"more")
            files.append(writer.entry(draft.folder, name, role, "f"))
        draft.publish(metadata_of(draft, files))
    with PrivateFolder([task(small), task(small, draft.ref)]) as made:
        assert sorted(inside(made)) == [
            "0/model_xgb_v1.json",
            "0/reference_xgb_v1.npz",
            "0/source_xgb_v1/net.py",
            "1/model_xgb_v3.json",
            "1/reference_xgb_v3.npz",
            "1/source_xgb_v3/net.py",
        ]
        assert made.altered == {}
    flip(folder / "copy.onnx")
    with PrivateFolder([task(small, draft.ref)]) as made:
        assert isinstance(made.altered[str(draft.ref)], DigestMismatch), "it is hashed all the same"


def test_inputs_of_every_dtype_and_shape_are_copied_as_they_are(small):
    odd = {
        "empty": np.zeros((0, 3), "<f4"),
        "scalar": np.array(7, ">i2"),
        "text": np.array(["é", "日本"]),
        "time": np.array(["2026-01-02"], "M8[D]"),
        "parts": np.zeros(2, [("a", "<f4"), ("b", "S3")]),
        "titled": np.zeros(2, [(("title", "é"), "<f4", (2, 2))]),
        "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "nothing": np.zeros((2, 0), "S0"),
        "large": np.arange(500_000),
    }
    with writer.draft(small, 5, "onnx") as draft:
        files = fill(draft, b"a graph", input=odd, output=Y)
        draft.publish(metadata_of(draft, files, inputs=reference.specs_of("input", odd)))
    with PrivateFolder([task(small, draft.ref)]) as folder:
        assert folder.altered == {}
        assert inside(folder)["0/reference_onnx_v1.npz"] == written(input=odd)


@pytest.mark.parametrize("what", ["dtype", "shape", "elements", "missing", "compressed", "no zip", "header"])
def test_inputs_that_are_not_the_declared_ones_are_altered_though_the_seal_is_new(small, what):
    (name, array), *_ = X.items()
    other = {
        "dtype": written(input={name: array.view(np.int32)}, output=Y),
        "shape": written(input={name: array.reshape(-1)}, output=Y),
        "elements": written(input={name: array + 1}, output=Y),
        "missing": written(output=Y),
        "no zip": b"PK\5\6 no more",
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("input_0.npy", zipfile.ZipFile(io.BytesIO(written(input=X))).read("input_0.npy"))
    other["compressed"] = stream.getvalue()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("input_0.npy", b"\x93NUMPY\1\0\x0a\0__import__")
    other["header"] = stream.getvalue()
    rewrite_reference(small, other[what])
    good = task(small, Ref.parse("grid-size-12/pytorch/v1"))
    with PrivateFolder([task(small), good]) as folder:
        error = folder.altered[str(REF)]
        assert isinstance(error, DigestMismatch if what == "elements" else Malformed)
        assert "reference_xgb_v1.npz" in error.message
        assert sorted(folder.handed) == [good.id]
        assert all(path.startswith("1/") for path in inside(folder)), "nothing of it is inside"


def test_every_file_that_is_not_as_recorded_is_named(small):
    folder = small.root / REF.folder
    flip(folder / "model_xgb_v1.json")
    break_hard_link(folder / "source_xgb_v1/net.py").write_bytes(b"longer than it was\n")
    (folder / "reference_xgb_v1.npz").unlink()
    with PrivateFolder([task(small)]) as made:
        error = made.altered[str(REF)]
        assert isinstance(error, ManyFindings)
        assert [f["error"] for f in error.findings] == [
            k.__name__ for k in (DigestMismatch, Missing, SizeMismatch)
        ]
        assert inside(made) == {}


@pytest.mark.parametrize("how", ["file", "folder", "grid"])
def test_no_link_below_the_archive_is_followed(small, tmp_path, how):
    path = {
        "file": small.root / REF.folder / "model_xgb_v1.json",
        "folder": small.root / REF.folder / "source_xgb_v1",
        "grid": small.root / "grid-size-8",
    }[how]
    asked = task(small)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with PrivateFolder([asked]) as folder:
        error = folder.altered[str(REF)]
        assert isinstance(error, NotRegular if how != "grid" else ManyFindings)
        assert inside(folder) == {}


def test_what_was_hashed_is_what_is_inside_though_the_source_is_swapped_all_the_while(small):
    """A file and its folder are renamed away and back, and the file rewritten, as fast as can be."""
    good, bad = os.urandom(1 << 21), os.urandom(1 << 21)
    with writer.draft(small, 8, "xgboost") as draft:
        draft.publish(metadata_of(draft, fill(draft, good)))
    asked = task(small, draft.ref)
    path = small.root / REF.folder / asked.model
    other = path.with_name("other")
    other.write_bytes(bad)
    away = path.parent.with_name("away")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            os.rename(path, path.with_name("third"))
            os.rename(other, path)
            os.rename(path, other)
            os.rename(path.with_name("third"), path)
            path.parent.rename(away)
            away.rename(path.parent)
            with path.open("r+b") as stream:
                stream.write(bad)
                stream.seek(0)
                stream.write(good)

    swapping = threading.Thread(target=swap)
    swapping.start()
    handed = 0
    try:
        for _ in range(60):
            with PrivateFolder([asked]) as folder:
                if folder.handed:
                    handed += 1
                    assert inside(folder)[f"0/{asked.model}"] == good
                else:
                    assert inside(folder) == {}
    finally:
        over.set()
        swapping.join()
    assert verify(small).findings[0].path.endswith("other"), "the swaps were undone"
    with PrivateFolder([asked]) as folder:
        assert folder.handed


def test_files_of_one_draft_that_is_being_sealed_are_taken_as_they_were_written(tmp_path):
    """Nothing is declared of the inputs yet; answers would be left out all the same."""
    (tmp_path / "m.onnx").write_bytes(b"model")
    (tmp_path / "r.npz").write_bytes(written(input=X, output=Y))
    files = tuple(writer.entry(tmp_path, name, "model", "f") for name in ("m.onnx", "r.npz"))
    made = Task("a", "onnx", tmp_path, files, "m.onnx", "r.npz", ("x",), {})
    with PrivateFolder([made]) as folder:
        assert inside(folder) == {"0/m.onnx": b"model", "0/r.npz": written(input=X)}


# --- where it lies, and what becomes of it ---------------------------------------------------------


def big(archive: Archive, size: int = 20 << 20) -> Task:
    with writer.draft(archive, 9, "xgboost") as draft:
        draft.publish(metadata_of(draft, fill(draft, os.urandom(1 << 20) * (size >> 20))))
    return task(archive, draft.ref)


@pytest.fixture
def mounted(tmp_path) -> Iterator[object]:
    made: list[Path] = []

    def mount(name: str, *words: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        if os.geteuid() != 0:
            pytest.skip("mounting needs root")
        done = subprocess.run(["mount", *words, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"this machine may not mount: {done.stderr.strip()}")
        made.append(folder)
        return folder

    yield mount
    for folder in reversed(made):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_it_is_gone_at_the_end_and_the_archive_was_not_touched(small, temporary):
    before = list_tree(small.root)
    with PrivateFolder([task(small)]) as folder:
        assert temporary in folder.path.parents
        assert folder.path.parent.stat().st_mode & 0o777 == 0o700
        assert list_tree(small.root) == before
    folder.close()
    assert list_tree(temporary) == []


def test_where_no_room_is_left_the_error_names_the_folder_and_nothing_stays(small, mounted, monkeypatch):
    full = mounted("full", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    whole = mounted("whole", "-t", "tmpfs", "-o", "size=60m", "tmpfs")
    archive = Archive(shutil.copytree(small.root, whole / "archive"))
    asked = big(archive)
    monkeypatch.setattr(tempfile, "tempdir", str(full))
    before = list_tree(archive.root)
    with pytest.raises(NoSpace) as caught:
        PrivateFolder([asked])
    assert str(full) in caught.value.message
    assert "TMPDIR" in caught.value.advice
    assert caught.value.exit_code == 7
    small_one = replace(task(archive), beside=asked.files)  # little to copy: the disk itself says no
    (full / "filler").write_bytes(bytes((1 << 20) - 4096))
    with pytest.raises(StorageFailed):
        PrivateFolder([small_one])
    assert [p for p in list_tree(full) if p != "filler"] == []
    assert list_tree(archive.root) == before


def test_where_the_temp_folder_is_too_small_the_archives_own_file_system_is_taken(
    small, mounted, monkeypatch
):
    full = mounted("full", "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    asked = big(small)
    monkeypatch.setattr(tempfile, "tempdir", str(full))
    with PrivateFolder([asked]) as folder:
        assert folder.path.parent == small.root
        assert verify(small).ok, "what stands there meanwhile is nothing that is missing or extra"
    assert verify(small).leftovers == []


def test_on_a_file_system_that_shares_blocks_nothing_is_copied(small, mounted, tmp_path, monkeypatch):
    if shutil.which("mkfs.btrfs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip("there is no mkfs.btrfs")
    disk = tmp_path / "disk.img"
    with disk.open("wb") as stream:
        stream.truncate(400 << 20)
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    subprocess.run(["mkfs.btrfs", "-q", str(disk)], check=True, env=env)
    place = mounted("btrfs", "-o", "loop", str(disk))
    archive = Archive(shutil.copytree(small.root, place / "archive"))
    asked = big(archive, 60 << 20)
    os.sync()
    before = os.statvfs(place).f_bfree * os.statvfs(place).f_frsize
    with PrivateFolder([asked]) as folder:
        assert folder.path.parent == archive.root
        os.sync()
        taken = before - os.statvfs(place).f_bfree * os.statvfs(place).f_frsize
        assert taken < 10 << 20
        path = archive.root / "grid-size-9/xgboost" / asked.model
        data = path.read_bytes()
        flip(path)
        assert inside(folder)[f"0/{asked.model}"] == data, "a change of the source does not reach it"
    with PrivateFolder([asked]) as folder:
        assert isinstance(folder.altered[asked.id], DigestMismatch)
    assert verify(archive).leftovers == []
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    flip_back = task(archive)
    with PrivateFolder([flip_back]) as folder:
        assert folder.handed, "a read-only archive is copied elsewhere"


KILLED = """
import os, sys, tempfile
from pathlib import Path
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.replaying.grading import task_of
from timeproof.runs.private_folder import PrivateFolder
tempfile.tempdir = sys.argv[2]
archive, ref = Archive(Path(sys.argv[1])), Ref.parse("grid-size-8/xgboost/v1")
folder = PrivateFolder([task_of(archive, ref, read_metadata(archive, ref))])
print(folder.path, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_by_the_next_one_and_a_living_ones_is_not(small, temporary):
    words = [sys.executable, "-c", KILLED, str(small.root), str(temporary)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes) as first, subprocess.Popen(words, **pipes) as second:  # type: ignore[call-overload]
        left, living = Path(first.stdout.readline().strip()), Path(second.stdout.readline().strip())
        assert left.is_dir()
        first.send_signal(signal.SIGKILL)
        first.wait()
        with PrivateFolder([task(small)]):
            assert not left.exists()
            assert (living / "in/0/model_xgb_v1.json").exists()
        second.stdin.close()
        second.kill()
    with PrivateFolder([task(small)]):
        assert not living.exists()
    assert list_tree(temporary) == []


@pytest.mark.parametrize("what", ["a link", "open to all", "a file"])
def test_a_folder_that_somebody_else_made_is_not_used(small, temporary, tmp_path, what):
    name = temporary / f"timeproof-{os.getuid()}"
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    if what == "a link":
        name.symlink_to(theirs)
    elif what == "a file":
        name.write_bytes(b"")
    else:
        name.mkdir()
        name.chmod(0o777)
    with PrivateFolder([task(small)]) as folder:
        assert folder.handed
        assert folder.path.parent != name
        assert folder.path.parent.stat().st_mode & 0o777 == 0o700
    assert list(theirs.iterdir()) == []
    assert list(temporary.iterdir()) == [name]
