"""The inputs of a reference without its answers: what a container gets. No NumPy, and no pickle.

A member is copied as it is, once its header and the SHA-256 of its elements are those that the metadata
declares. Whether the file itself is the recorded one is the caller's to check.
"""

from __future__ import annotations

import ast
import hashlib
import re
import struct
import zipfile
from collections.abc import Sequence
from typing import IO, Any, BinaryIO

from timeproof.base.clock import EPOCH_IN_ZIP
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, DigestMismatch, Limit, Malformed
from timeproof.store.schema.v1 import ArraySpec

# A header is a Python literal; these are what Python's own parser ends in.
HEADER_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    SyntaxError,
    RecursionError,
    MemoryError,
    struct.error,
)
ZIP_ERRORS = (
    zipfile.BadZipFile,
    KeyError,
    EOFError,
    ValueError,
    struct.error,
    NotImplementedError,
    RuntimeError,
)
_MAGIC = b"\x93NUMPY"
_VERSIONS = {(1, 0): ("<H", "latin-1"), (2, 0): ("<I", "latin-1"), (3, 0): ("<I", "utf-8")}
_MEMBER = re.compile(r"input_(?:0|[1-9]\d{0,5})\.npy")
_CHUNK = 1 << 20


def lists(value: Any) -> Any:
    """Spell a dtype's description as JSON holds it."""
    return [lists(v) for v in value] if isinstance(value, (list, tuple)) else value


def read_description(member: IO[bytes], where: str) -> tuple[dict[str, Any], bytes]:
    """Read a .npy header of any version: what it says, and its own bytes.

    Raises Limit, or one of HEADER_ERRORS.
    """
    begin = member.read(8)
    if begin[:6] != _MAGIC or tuple(begin[6:]) not in _VERSIONS:
        raise ValueError("it does not begin as a .npy does")
    form, encoding = _VERSIONS[begin[6], begin[7]]
    length_bytes = member.read(struct.calcsize(form))
    (length,) = struct.unpack(form, length_bytes)
    if length > LIMITS.npy_header_bytes:
        raise Limit(where, f"a header of {length} bytes")
    text = member.read(length)
    description = ast.literal_eval(text.decode(encoding))
    if not isinstance(description, dict) or set(description) != {"descr", "fortran_order", "shape"}:
        raise ValueError("it has other fields than descr, fortran_order and shape")
    return description, begin + length_bytes + text


def open_stored(archive: zipfile.ZipFile, name: str, where: str) -> IO[bytes]:
    """Open a member that is stored without compression. Raises Malformed, KeyError."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise Malformed(where, ["it is compressed, which no reference is"])  # a bomb, or four more parsers
    return archive.open(name)


def copy_inputs(source: BinaryIO, sink: BinaryIO, specs: Sequence[ArraySpec], path: object) -> None:
    """Write the inputs of the reference `source` to `sink`: the `.npz` as it was before it had answers.

    Args:
        specs: what the metadata says of the inputs; without any, all members `input_*` are copied.
        path: of `source`, for messages.

    Raises:
        Malformed: an input is missing, or has another dtype or shape than declared.
        Limit: one holds more than it may.
        DigestMismatch: its elements are not the recorded ones.
    """
    try:
        with zipfile.ZipFile(source) as archive, zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as copy:
            if specs:
                wanted: list[tuple[str, ArraySpec | None]] = [(f"{s.member}.npy", s) for s in specs]
            else:
                wanted = [(name, None) for name in archive.namelist() if _MEMBER.fullmatch(name)]
            for name, spec in wanted:
                info = zipfile.ZipInfo(name, EPOCH_IN_ZIP)
                info.external_attr = 0o644 << 16
                where = f"{path}:{name}"
                with (
                    open_stored(archive, name, where) as member,
                    copy.open(info, "w", force_zip64=True) as to,
                ):
                    _copy_member(member, to, spec, where)
    except BadArchive:
        raise
    except ZIP_ERRORS as error:
        raise Malformed(path, [f"{type(error).__name__}: {error}"]) from error


def _copy_member(member: IO[bytes], to: IO[bytes], spec: ArraySpec | None, where: str) -> None:
    try:
        description, header = read_description(member, where)
    except HEADER_ERRORS as error:
        raise Malformed(where, [f"its header is not one: {error}"]) from error
    actual = (lists(description["descr"]), description["fortran_order"], lists(description["shape"]))
    if spec is not None and actual != (spec.dtype, False, spec.shape):
        kind, shape = description["descr"], description["shape"]
        raise Malformed(where, [f"it is {kind} {shape}, not {spec.dtype} {spec.shape}"])
    to.write(header)
    state, size = hashlib.sha256(), 0
    while chunk := member.read(_CHUNK):
        size += len(chunk)
        if size > LIMITS.array_bytes:
            raise Limit(where, f"more than {LIMITS.array_bytes} bytes")
        state.update(chunk)
        to.write(chunk)
    if spec is not None and state.hexdigest() != spec.sha256:
        raise DigestMismatch(where, Digest(spec.sha256), Digest(state.hexdigest()))
