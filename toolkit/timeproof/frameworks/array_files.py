"""Read a user's arrays from `.npy`, `.npz`, `.csv`, `.tsv`, within bounds and never a pickle."""

from __future__ import annotations

import csv
import io
import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive
from timeproof.frameworks.imports import BadData
from timeproof.store import reference
from timeproof.store.reference import Array
from timeproof.store.reference_inputs import ZIP_ERRORS

FORMATS = (".npy", ".npz", ".csv", ".tsv")
TEXT = frozenset({".csv", ".tsv"})  # these have no dtypes, and their first line may name the columns
_RATIO = 200  # unpacked bytes that each compressed byte may give
_FREE = 16 * 2**20  # unpacked bytes that any compressed array may have
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})
# What the reader of zip files and its decompressors raise for damaged bytes.
_NPZ_ERRORS = (*ZIP_ERRORS, zlib.error, lzma.LZMAError, OverflowError, MemoryError)


def read(path: Path, *, name: str, dtype: str) -> dict[str, Array]:
    """Read the arrays of a file by name.

    Args:
        name: what the array of an `.npy`, `.csv` or `.tsv` is called.
        dtype: the dtype of the numbers of a `.csv` or `.tsv`.

    Raises BadData, which says what is wrong and where in the file.
    """
    return read_with_columns(path, name=name, dtype=dtype)[0]


def read_with_columns(path: Path, *, name: str, dtype: str) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Read as `read` does, and return the names of a table's columns too, where its first line holds them."""
    suffix = path.suffix.lower()
    try:
        if not path.is_file():
            raise BadData("there is no such file")
        if (size := path.stat().st_size) > LIMITS.import_bytes:
            raise BadData(f"{size} bytes, at most {LIMITS.import_bytes}")
        with path.open("rb") as stream:
            if suffix == ".npy":
                return {name: _npy(stream, LIMITS.import_bytes, "")}, ()
            if suffix == ".npz":
                return _npz(stream), ()
            if suffix in TEXT:
                table, columns = _text(stream, dtype, suffix)
                return {name: table}, columns
    except OSError as error:
        raise BadData(str(error)) from None
    raise BadData(f"arrays can be read from {', '.join(FORMATS)}")


def _npy(stream: IO[bytes], room: int, where: str) -> Array:
    try:
        dtype, fortran, shape = reference.read_header(stream, where)
    except BadArchive as error:
        raise BadData(error.message) from None
    except reference.HEADER_ERRORS as error:
        raise BadData(f"{where}not an .npy: {_reason(error)}") from None
    if dtype.hasobject:
        raise BadData(f"{where}it holds Python objects: they would be unpickled, which can run any code")
    if any(n < 0 or n > LIMITS.integer for n in shape) or len(shape) > 32:
        raise BadData(f"{where}no array has the shape {shape}")
    size = math.prod(shape) * dtype.itemsize
    if size > room:
        raise BadData(f"{where}{size} bytes declared, at most {room} allowed")
    data = stream.read(size + 1)
    if len(data) != size:
        raise BadData(f"{where}its elements do not take the {size} bytes declared")
    try:
        flat = np.frombuffer(data, dtype) if size else np.ndarray(math.prod(shape), dtype)
        return np.ascontiguousarray(flat.reshape(shape, order="F" if fortran else "C")).reshape(shape)
    except (ValueError, OverflowError, MemoryError) as error:
        raise BadData(f"{where}no array has the shape {shape} and the dtype {dtype}: {error}") from None


def _npz(stream: IO[bytes]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    room = LIMITS.import_bytes
    try:
        with zipfile.ZipFile(stream) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    raise BadData(f"{info.filename!r} is not an array")
                name = info.filename.removesuffix(".npy")
                if name in arrays:
                    raise BadData(f"two arrays are called {name!r}")
                if info.compress_type not in _METHODS:
                    raise BadData(f"{name}: it is compressed by the method {info.compress_type}")
                if info.compress_type != zipfile.ZIP_STORED:
                    room = min(room, _RATIO * info.compress_size + _FREE)
                with archive.open(info) as member:
                    arrays[name] = _npy(member, room, f"{name}: ")
                room = min(LIMITS.import_bytes, room) - arrays[name].nbytes
    except _NPZ_ERRORS as error:
        raise BadData(f"not an .npz: {_reason(error)}") from None
    if not arrays:
        raise BadData("it holds no array")
    return arrays


def _reason(error: Exception) -> str:
    """The error's own words, or its name where it has none, as MemoryError and some EOFErrors."""
    return str(error) or type(error).__name__


def _text(stream: IO[bytes], dtype: str, suffix: str) -> tuple[Array, tuple[str, ...]]:
    """Read a table of numbers, and the names of its columns, where its first line holds them."""
    rows: list[list[float]] = []
    columns: tuple[str, ...] = ()
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        lines = csv.reader(text, strict=True, delimiter=_delimiter(text, suffix))
        for row in _nonempty(lines):
            numbers = [_number(cell) for cell in row]
            if not rows and not columns and all(n is None for n in numbers):
                columns = tuple(cell.strip() for cell in row)
                continue
            for column, number in enumerate(numbers):
                if number is None:
                    raise BadData(
                        f"line {lines.line_num}, column {column + 1}: {row[column][:40]!r} is not a number"
                    )
            if len(row) != (width := len(rows[0]) if rows else len(columns) or len(row)):
                raise BadData(f"line {lines.line_num}: {len(row)} columns, but {width} before")
            rows.append(numbers)  # type: ignore[arg-type]  # None was refused above
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadData(f"not a {suffix}: {error}") from None
    finally:
        text.detach()  # otherwise it would close the stream, which belongs to the caller
    if not rows:
        raise BadData("it holds no row of numbers")
    with np.errstate(all="ignore"):
        table = np.array(rows, np.float64).astype(dtype)
    return (table[:, 0] if table.shape[1] == 1 else table), columns


def _delimiter(text: io.TextIOWrapper, suffix: str) -> str:
    """Return a tab for a `.tsv`, and for a `.csv` whose first line has tabs and no comma; else a comma."""
    if suffix == ".tsv":
        return "\t"
    first = text.readline(LIMITS.npy_header_bytes)
    while first and not first.strip():
        first = text.readline(LIMITS.npy_header_bytes)
    text.seek(0)
    return "\t" if "\t" in first.strip() and "," not in first else ","


def _nonempty(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    return (row for row in lines if row)


def _number(cell: str) -> float | None:
    """Read a cell: an empty one is a missing value, NaN; None where the cell is not a number."""
    try:
        return float(cell) if "_" not in cell and cell.strip() else (None if cell.strip() else math.nan)
    except ValueError:
        return None
