"""What a writer asks of the file system, call by call, and whether a power cut in between does no harm."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Call:
    name: str  # fsync, rename, link, mkdir
    path: str  # where the name is that it makes; of fsync what is synced
    source: str = ""  # of rename and link: the other name
    files: tuple[
        str, ...
    ] = ()  # of rename and link: all files and folders that come along, by their old names


@dataclass
class Trace:
    calls: list[Call] = field(default_factory=list)

    def moves(self, root: Path) -> list[tuple[int, Call]]:
        """The renames and links that give something a name below `root` that is no staging name."""
        below = f"{root}{os.sep}"
        return [
            (at, call)
            for at, call in enumerate(self.calls)
            if call.name in {"rename", "link"}
            and call.path.startswith(below)
            and ".staging-" not in call.path
        ]

    def synced(self, path: str, first: int, end: int | None = None) -> bool:
        return any(c.name == "fsync" and c.path == path for c in self.calls[first:end])

    def check(self, root: Path) -> None:
        """Every content is durable before it gets its name; every name, and every new folder, in the end."""
        moves = self.moves(root)
        assert moves, "nothing was published"
        for at, call in moves:
            for file in call.files:
                assert self.synced(file, 0, at), f"{file} was not durable when it became {call.path}"
            folder = os.path.dirname(call.path)
            assert self.synced(folder, at), f"the name {call.path} never became durable"
        for at, call in enumerate(self.calls):
            if call.name == "mkdir" and ".staging-" not in call.path and call.path.startswith(str(root)):
                assert self.synced(os.path.dirname(call.path), at), f"the folder {call.path} is not durable"

    def check_order(self, root: Path, document: Callable[[str], bool]) -> None:
        """No document gets its name before the names of all files that came before it are durable."""
        moves = self.moves(root)
        documents = [(at, call) for at, call in moves if document(call.path)]
        assert documents, "no document was published"
        for at, _ in documents:
            for before, call in moves:
                if before < at and not document(call.path):
                    assert self.synced(os.path.dirname(call.path), before, at), call.path
        first = documents[0][0]
        assert all(document(call.path) for at, call in moves if at > first), "a file came after a document"


def _content(path: str) -> tuple[str, ...]:
    names = [path]
    for folder, folders, files in os.walk(path):
        names += [os.path.join(folder, name) for name in (*folders, *files)]
    return tuple(names)


@contextmanager
def tracing() -> Iterator[Trace]:
    """Note every fsync, rename, link and mkdir of this process, once it has succeeded."""
    trace = Trace()
    fsync, rename, link, mkdir = os.fsync, os.rename, os.link, os.mkdir

    def note_fsync(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        fsync(descriptor)
        trace.calls.append(Call("fsync", path))

    def noted(name: str, call: Callable[..., None]) -> Callable[..., None]:
        def note(source: Any, target: Any, **more: Any) -> None:
            content = _content(os.fspath(source))
            call(source, target, **more)
            trace.calls.append(Call(name, os.fspath(target), os.fspath(source), content))

        return note

    def note_mkdir(path: Any, *more: Any, **named: Any) -> None:
        mkdir(path, *more, **named)
        trace.calls.append(Call("mkdir", os.fspath(path)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", note_fsync)
        patch.setattr(os, "rename", noted("rename", rename))
        patch.setattr(os, "link", noted("link", link))
        patch.setattr(os, "mkdir", note_mkdir)
        yield trace
