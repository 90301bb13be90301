"""Where a container finds what the host gave it, and the frames in which it answers. Standard library only.

A frame is one letter, two lengths, a name and a content. There is no way to spell a device, a hard link, an
owner or a time. The host checks all of it: see `tree_reading`.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

PLACE = "/timeproof"
REQUEST = "request.json"
HEADER = struct.Struct(">cIQ")  # kind, bytes of the name, bytes of the content
FOLDER, FILE, PROGRAM, LINK, ANSWER, REFUSED, FAILED, END = (
    bytes([c]) for c in b"dfxlarb."
)  # REFUSED: the packages are wrong; FAILED: they can't be handled
_PIECE = 1 << 20


def put(out: BinaryIO, kind: bytes, name: bytes = b"", content: bytes = b"") -> None:
    """Write one frame."""
    out.write(HEADER.pack(kind, len(name), len(content)))
    out.write(name)
    out.write(content)


def put_tree(root: Path, out: BinaryIO) -> None:
    """Write every folder, file and link below `root`, in the order of their paths."""
    for path in sorted(root.rglob("*")):
        name = os.fsencode(path.relative_to(root))
        if path.is_symlink():
            put(out, LINK, name, os.fsencode(os.readlink(path)))
        elif path.is_dir():
            put(out, FOLDER, name)
        else:
            _put_file(path, name, out)


def _put_file(path: Path, name: bytes, out: BinaryIO) -> None:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb", buffering=0) as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is neither a file, a folder nor a link")
        out.write(HEADER.pack(PROGRAM if status.st_mode & 0o100 else FILE, len(name), status.st_size))
        out.write(name)
        remaining = status.st_size
        while remaining:
            data = stream.read(min(remaining, _PIECE))
            if not data:
                raise OSError(f"{path} became shorter")
            out.write(data)
            remaining -= len(data)


def answer(work: Callable[[dict[str, Any], BinaryIO], None], refusals: tuple[type[Exception], ...]) -> None:
    """Run `work` on the request and a stream for frames; tell an error as a frame. Never returns.

    Ends the process at once: py-rattler's threads sometimes crash an interpreter that ends normally.
    """
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed is for people
    code = 1
    try:
        work(json.loads(Path(PLACE, "request", REQUEST).read_bytes()), out)
        put(out, END)
        code = 0
    except refusals as error:
        put(out, REFUSED, content=str(error).encode("utf-8", "replace"))
    except BaseException as error:
        traceback.print_exc()
        put(out, FAILED, content=f"{error}".encode("utf-8", "replace"))
    finally:
        out.flush()
        sys.stderr.flush()
        os._exit(code)
