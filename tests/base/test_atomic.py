"""Writing whole or not at all, staging, and sweeping up after makers that died."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.waiting import HANG_SECONDS

from timeproof.base import atomic
from timeproof.errors import Exists, StorageFailed


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob(f"{atomic.STAGING}*"))


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    atomic.write(tmp_path / "x", b"one")
    atomic.write(tmp_path / "x", b"two")
    atomic.write(tmp_path / "y", b"", replace=False)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"x": b"two", "y": b""}


@pytest.mark.parametrize(
    "make", [lambda p: p.write_bytes(b"old"), Path.mkdir, lambda p: p.symlink_to("nowhere")]
)
def test_what_exists_is_not_replaced_unless_asked(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "x")
    before = os.lstat(tmp_path / "x")
    with pytest.raises(Exists):
        atomic.write(tmp_path / "x", b"new", replace=False)
    assert os.lstat(tmp_path / "x").st_ino == before.st_ino
    assert os.listdir(tmp_path) == ["x"]


def test_writing_never_changes_another_name_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    os.link(tmp_path / "x", tmp_path / "other")
    atomic.write(tmp_path / "x", b"new")
    assert (tmp_path / "other").read_bytes() == b"old"
    assert (tmp_path / "x").read_bytes() == b"new"


def test_writing_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"old")
    (tmp_path / "x").symlink_to("outside")
    atomic.write(tmp_path / "x", b"new")
    assert (tmp_path / "outside").read_bytes() == b"old"
    assert not (tmp_path / "x").is_symlink()


@pytest.mark.parametrize("call", ["open", "fsync", "rename", "link"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.ESTALE])
def test_a_refusal_of_the_disk_is_named_and_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    (tmp_path / "x").write_bytes(b"old")
    new = call == "link"
    with monkeypatch.context() as patch:
        patch.setattr(f"timeproof.base.atomic.os.{call}", refuse)
        with pytest.raises(StorageFailed, match=os.strerror(code)) as caught:
            atomic.write(tmp_path / ("y" if new else "x"), b"new", replace=not new)
    assert caught.value.exit_code == 7
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"x": b"old"}


def test_a_new_file_whose_name_is_not_durable_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "sync_folder", refuse)
        with pytest.raises(StorageFailed):
            atomic.write(tmp_path / "x", b"new", replace=False)
    assert os.listdir(tmp_path) == []
    atomic.write(tmp_path / "x", b"new", replace=False)  # the same command again


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.write(tmp_path / "no/folder/x", b"")
    with pytest.raises(KeyError), atomic.storage(tmp_path):
        raise KeyError


def test_the_whole_tree_is_synced_before_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("x", "a/y", "a/b/z"):
        (tmp_path / name).write_bytes(b"")
    synced: list[str] = []
    monkeypatch.setattr(
        "timeproof.base.atomic.os.fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}"))
    )
    atomic.sync_all([tmp_path])
    everything = [tmp_path, *tmp_path.rglob("*")]
    assert sorted(synced) == sorted(map(str, everything))
    for name in ("x", "a/y", "a/b/z"):
        assert synced.index(str(tmp_path / name)) < synced.index(str((tmp_path / name).parent))


def test_a_link_in_a_staged_tree_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic links"):
        atomic.sync_all([tmp_path])


# --- the lock ---------------------------------------------------------------------------------


def test_one_holds_the_lock_at_a_time(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with atomic.lock(tmp_path / "new"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.002)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@contextmanager
def holding(script: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run `script` in a child until it has said `ready`; kill it in the end."""
    lines = f"import sys, time\nfrom pathlib import Path\nfrom timeproof.base import atomic\n{script}"
    words = [sys.executable, "-c", lines, str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


LOCK = "with atomic.lock(Path(sys.argv[1])): print('ready', flush=True); time.sleep(3000)"
STAGE = "s = atomic.Staging(Path(sys.argv[1]), 'v1'); (s.path / 'x').write_bytes(b'half')\n"
STAGE += "print('ready', flush=True); time.sleep(3000)"


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    taken = threading.Event()

    def wait() -> None:
        with atomic.lock(tmp_path):
            taken.set()

    with holding(LOCK, tmp_path) as child:
        thread = threading.Thread(target=wait)
        thread.start()
        assert not taken.wait(0.3)
        child.send_signal(signal.SIGKILL)
        assert taken.wait(HANG_SECONDS)
        thread.join()


# --- staging and sweeping ---------------------------------------------------------------------


def test_staging_leaves_nothing_behind(tmp_path: Path) -> None:
    with atomic.Staging(tmp_path / "new", "v1") as staging:
        assert staging.path.parent == tmp_path / "new"
        assert staging.path.name.startswith(f"{atomic.STAGING}v1-")
        (staging.path / "x").write_bytes(b"")
        assert atomic.live_staging(tmp_path / "new") == [staging.path.name]
    assert list((tmp_path / "new").iterdir()) == []


def test_staging_that_is_published_by_a_rename_leaves_only_that(tmp_path: Path) -> None:
    with atomic.Staging(tmp_path) as staging:
        (staging.path / "x").write_bytes(b"done")
        staging.path.rename(tmp_path / "v1")
    assert [p.name for p in tmp_path.iterdir()] == ["v1"]
    assert (tmp_path / "v1/x").read_bytes() == b"done"


def test_staging_cleans_up_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), atomic.Staging(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_staging_that_can_not_be_made_leaves_no_guard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.mkdir

    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        if self.name.startswith(atomic.STAGING):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageFailed, match="No space left"):
        atomic.Staging(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_living_makers_staging_is_never_swept(tmp_path: Path) -> None:
    with holding(STAGE, tmp_path), atomic.Staging(tmp_path) as own:
        before = leftovers(tmp_path)
        assert len(before) == 4  # two folders and their guards
        assert atomic.sweep(tmp_path, older_than=0) == []
        assert leftovers(tmp_path) == before
        assert own.path.name in atomic.live_staging(tmp_path)


def test_a_killed_makers_staging_is_swept(tmp_path: Path) -> None:
    with holding(STAGE, tmp_path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert atomic.live_staging(tmp_path) == []
        names = leftovers(tmp_path)
        assert atomic.sweep(tmp_path) == names
    assert len(names) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_half_written_file_is_swept_once_it_is_old(tmp_path: Path) -> None:
    young, old = (tmp_path / f"{atomic.STAGING}{name}" for name in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - 3601))
    assert atomic.sweep(tmp_path) == [old.name]
    assert atomic.sweep(tmp_path, older_than=0) == [young.name]


def test_a_sweep_touches_nothing_else_and_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"kept")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "v1").write_bytes(b"kept")
    (inside / ".lock").write_bytes(b"")
    (inside / f"{atomic.STAGING}link").symlink_to(outside)
    assert atomic.sweep(inside, older_than=0) == [f"{atomic.STAGING}link"]
    assert sorted(p.name for p in inside.iterdir()) == [".lock", "v1"]
    assert (outside / "x").read_bytes() == b"kept"


def test_makers_and_sweepers_at_once_lose_nothing(tmp_path: Path) -> None:
    done, lost = threading.Event(), []

    def make() -> None:
        for _ in range(150):
            with atomic.Staging(tmp_path) as staging:
                try:
                    (staging.path / "x").write_bytes(b"")
                    time.sleep(0.001)
                    (staging.path / "x").read_bytes()
                except FileNotFoundError:
                    lost.append(staging.path.name)

    def sweep() -> None:
        while not done.is_set():
            atomic.sweep(tmp_path, older_than=0)

    makers = [threading.Thread(target=make) for _ in range(4)]
    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in makers + sweepers:
        thread.start()
    for thread in makers:
        thread.join()
    done.set()
    for thread in sweepers:
        thread.join()
    assert lost == []
    assert list(tmp_path.iterdir()) == []
