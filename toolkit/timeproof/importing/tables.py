"""Reading arrays that somebody hands over, from `.npy`, `.npz` and `.csv`: bounded, and never a pickle."""

from __future__ import annotations

import csv
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from timeproof.archive import reference
from timeproof.archive.reference import Array
from timeproof.errors import BadArchive
from timeproof.importing.tensors import BadData
from timeproof.limits import LIMITS

FORMATS = (".npy", ".npz", ".csv")
_RATIO, _FREE = 200, 16 * 2**20  # bytes for each compressed one, and bytes that nobody asks about
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error)


def read(path: Path, *, name: str, dtype: str) -> dict[str, Array]:
    """Read the arrays of a file by name.

    Args:
        name: what the array of an `.npy` or `.csv` is called.
        dtype: of a `.csv`'s numbers.

    Raises BadData, which says what is wrong and where in the file.
    """
    try:
        if not path.is_file():
            raise BadData("there is no such file")
        if (size := path.stat().st_size) > LIMITS.import_bytes:
            raise BadData(f"{size} bytes, at most {LIMITS.import_bytes}")
        with path.open("rb") as stream:
            if path.suffix == ".npy":
                return {name: _npy(stream, LIMITS.import_bytes, "")}
            if path.suffix == ".npz":
                return _npz(stream)
            if path.suffix == ".csv":
                return {name: _csv(stream, dtype)}
    except OSError as error:
        raise BadData(str(error)) from None
    raise BadData(f"arrays are read from {', '.join(FORMATS)}")


def _npy(stream: IO[bytes], room: int, where: str) -> Array:
    try:
        dtype, fortran, shape = reference.read_header(stream, where)
    except BadArchive as error:
        raise BadData(error.message) from None
    except reference.HEADER_ERRORS as error:
        raise BadData(f"{where}not an .npy: {error}") from None
    if dtype.hasobject:
        raise BadData(f"{where}Python objects, which only a pickle can hold, and nobody should open")
    if any(n < 0 or n > LIMITS.integer for n in shape) or len(shape) > 32:
        raise BadData(f"{where}the shape {shape}, which no array has")
    size = math.prod(shape) * dtype.itemsize
    if size > room:
        raise BadData(f"{where}{size} bytes declared, at most {room}")
    data = stream.read(size + 1)
    if len(data) != size:
        raise BadData(f"{where}its elements are not the {size} bytes declared")
    flat = np.frombuffer(data, dtype) if size else np.ndarray(math.prod(shape), dtype)
    return np.ascontiguousarray(flat.reshape(shape, order="F" if fortran else "C")).reshape(shape)


def _npz(stream: IO[bytes]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    room = LIMITS.import_bytes
    try:
        with zipfile.ZipFile(stream) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    raise BadData(f"{info.filename!r} is no array")
                name = info.filename.removesuffix(".npy")
                if name in found:
                    raise BadData(f"two arrays are called {name!r}")
                if info.compress_type != zipfile.ZIP_STORED:
                    room = min(room, _RATIO * info.compress_size + _FREE)
                with archive.open(info) as member:
                    found[name] = _npy(member, room, f"{name}: ")
                room = min(LIMITS.import_bytes, room) - found[name].nbytes
    except _ZIP_ERRORS as error:
        raise BadData(f"not an .npz: {error}") from None
    if not found:
        raise BadData("it holds no array")
    return found


def _csv(stream: IO[bytes], dtype: str) -> Array:
    rows: list[list[float]] = []
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        lines = csv.reader(text, strict=True)
        for row in _filled(lines):
            numbers = [_number(cell) for cell in row]
            if lines.line_num == 1 and all(n is None for n in numbers):
                continue  # the names of the columns
            for column, number in enumerate(numbers):
                if number is None:
                    raise BadData(
                        f"line {lines.line_num}, column {column + 1}: {row[column][:40]!r} is no number"
                    )
            if rows and len(row) != len(rows[0]):
                raise BadData(f"line {lines.line_num}: {len(row)} columns, and {len(rows[0])} before")
            rows.append(numbers)  # type: ignore[arg-type]  # None was refused above
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadData(f"not a .csv: {error}") from None
    finally:
        text.detach()  # or it would close the stream, which is our caller's
    if not rows:
        raise BadData("it holds no row of numbers")
    with np.errstate(all="ignore"):
        table = np.array(rows, np.float64).astype(dtype)
    return table[:, 0] if table.shape[1] == 1 else table


def _filled(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    return (row for row in lines if row)


def _number(cell: str) -> float | None:
    """An empty cell is a missing value, NaN. None where it is no number."""
    try:
        return float(cell) if "_" not in cell and cell.strip() else (None if cell.strip() else math.nan)
    except ValueError:
        return None
