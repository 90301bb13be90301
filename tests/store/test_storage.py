"""The laws of a storage: one of many writers wins, and what fails or is killed leaves nothing that exists."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timeproof.errors import Exists, StorageFailed
from timeproof.store import storage
from timeproof.store.storage import LocalStorage

CALLS = ("fsync", "rename", "link")
EXAMPLES = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Killed(BaseException):
    """Stands for what no code expects: an interrupt in the middle of a call."""


def stage(folder: Path, name: str, content: bytes, *, as_folder: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if as_folder:
        path.mkdir()
        (path / "document").write_bytes(content)
    else:
        path.write_bytes(content)
    return path


def content(path: Path) -> bytes:
    return (path / "document").read_bytes() if path.is_dir() else path.read_bytes()


@contextmanager
def failing(call: str, when: int, error: BaseException, *, after: bool = False) -> Iterator[list[int]]:
    """Make one call of `os` fail at its n-th time, before or after it has done its work."""
    count = [0]
    real: Callable[..., object] = getattr(os, call)

    def fail(*words: object, **named: object) -> object:
        count[0] += 1
        if count[0] == when and not after:
            raise error
        result = real(*words, **named)
        if count[0] == when:
            raise error
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, fail)
        yield count


@EXAMPLES
@given(writers=st.integers(2, 8), as_folder=st.booleans(), data=st.data())
def test_of_many_writers_of_one_name_exactly_one_wins(
    tmp_path_factory: pytest.TempPathFactory, writers: int, as_folder: bool, data: st.DataObject
) -> None:
    """Also without the lock: a bucket has none."""
    root = tmp_path_factory.mktemp("race")
    target = LocalStorage(root / "published", root)
    (root / "published").mkdir()
    locked = data.draw(st.booleans())
    staged = [stage(root / f"staged-{k}", "x", b"by %d" % k, as_folder=as_folder) for k in range(writers)]
    start, outcomes = threading.Barrier(writers), [""] * writers

    def write(k: int) -> None:
        start.wait()
        try:
            if locked:
                with target.exclusive():
                    target.put_if_absent({"x": staged[k]})
            else:
                target.put_if_absent({"x": staged[k]})
            outcomes[k] = "won"
        except Exists:
            outcomes[k] = "Exists"

    threads = [threading.Thread(target=write, args=(k,)) for k in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["Exists"] * (writers - 1) + ["won"]
    winner = outcomes.index("won")
    assert content(root / "published" / "x") == b"by %d" % winner
    for k, path in enumerate(staged):
        if k != winner:
            assert content(path) == b"by %d" % k, "a writer that lost keeps what it has made"


@EXAMPLES
@given(
    blobs=st.integers(0, 3),
    documents=st.integers(1, 3),
    as_folder=st.booleans(),
    call=st.sampled_from(CALLS),
    when=st.integers(1, 12),
    after=st.booleans(),
    error=st.sampled_from([OSError(errno.EIO, "Input/output error"), Killed(), KeyboardInterrupt()]),
)
def test_what_fails_at_any_step_leaves_nothing_published(
    tmp_path_factory: pytest.TempPathFactory,
    blobs: int,
    documents: int,
    as_folder: bool,
    call: str,
    when: int,
    after: bool,
    error: BaseException,
) -> None:
    root = tmp_path_factory.mktemp("failing")
    published = root / "published"
    target = LocalStorage(published, root)
    files = {f"blob-{k}": stage(root / "staged", f"b{k}", b"blob") for k in range(blobs)}
    named = {
        f"document-{k}": stage(root / "staged", f"d{k}", b"document", as_folder=as_folder and k == 0)
        for k in range(documents)
    }
    with failing(call, when, error, after=after) as count:
        try:
            storage.publish(target, files, named)
        except (StorageFailed, Killed, KeyboardInterrupt):
            done = False
        else:
            done = True
    names = set(os.listdir(published)) - {".lock"}
    if done:
        assert count[0] < when, "a failure went unnoticed"
        assert names == {*files, *named}
    else:
        assert names == set(), names
        for path in (*files.values(), *named.values()):
            assert path.exists(), "what was staged is still there, to be removed or tried again"


@pytest.mark.parametrize("taken", ["blob", "document"])
def test_a_name_that_is_taken_is_left_as_it_is(tmp_path: Path, taken: str) -> None:
    target = LocalStorage(tmp_path / "published", tmp_path)
    stage(tmp_path / "published", taken, b"another's")
    items = {"blob": stage(tmp_path / "staged", "b", b"new")}
    documents = {
        "first": stage(tmp_path / "staged", "f", b"new"),
        "document": stage(tmp_path / "staged", "d", b"new"),
    }
    with pytest.raises(Exists, match=taken):
        storage.publish(target, items, documents)
    assert set(os.listdir(tmp_path / "published")) == {".lock", taken}
    assert (tmp_path / "published" / taken).read_bytes() == b"another's"


def test_the_lock_is_held_while_names_are_looked_at_and_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename would replace what another writer put after the look."""
    target = LocalStorage(tmp_path / "published", tmp_path)
    items = {"blob": stage(tmp_path / "staged", "b", b"new")}
    documents = {"document": stage(tmp_path / "staged", "d", b"new")}
    locked = []

    def watched(call: Callable[..., None]) -> Callable[..., None]:
        def watch(source: object, name: object) -> None:
            descriptor = os.open(tmp_path / "published" / ".lock", os.O_RDWR)
            try:
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    pytest.fail(f"nobody holds the lock while {name} is put")
                locked.append(os.path.basename(str(name)))
            finally:
                os.close(descriptor)
            call(source, name)

        return watch

    monkeypatch.setattr(os, "rename", watched(os.rename))
    monkeypatch.setattr(os, "link", watched(os.link))
    storage.publish(target, items, documents)
    assert locked == ["blob", "document"]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.sampled_from([*CALLS, "mkdir"]), when=st.integers(1, 14), blobs=st.integers(1, 3))
def test_a_kill_at_any_step_leaves_no_document_without_its_files(
    tmp_path_factory: pytest.TempPathFactory, call: str, when: int, blobs: int
) -> None:
    """A real child that ends at the n-th call, with no clean-up."""
    root = tmp_path_factory.mktemp("killed")
    files = {f"blob-{k}": stage(root / "staged", f"b{k}", b"blob") for k in range(blobs)}
    documents = {"document": stage(root / "staged", "d", b"document")}
    child = os.fork()
    if child == 0:
        real: Callable[..., object] = getattr(os, call)
        count = 0

        def end(*words: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count == when:
                os._exit(99)
            return real(*words, **named)

        setattr(os, call, end)
        try:
            storage.publish(LocalStorage(root / "published", root), files, documents)
        finally:
            os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    published = root / "published"
    names = set(os.listdir(published)) - {".lock"} if published.is_dir() else set()
    if "document" in names:
        assert names == {*files, "document"}
    if ended == 0:
        assert names == {*files, "document"}
    else:
        assert ended == 99
    for name in names:
        assert (published / name).read_bytes() == (b"document" if name == "document" else b"blob")
