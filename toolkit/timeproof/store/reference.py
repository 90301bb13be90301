"""The reference: `.npz` files with the inputs and the outputs, written and read within bounds.

Members are `input_0.npy`, `output_0.npy`, …; the names that people gave them stand in the metadata.
No pickle, either way.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import ValidationError

from timeproof.base.clock import EPOCH_IN_ZIP
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, DigestMismatch, Limit, Malformed, NotArchivable
from timeproof.store.reference_inputs import (
    HEADER_ERRORS as HEADER_ERRORS,  # whoever calls read_header needs them
)
from timeproof.store.reference_inputs import ZIP_ERRORS, lists, open_stored, read_description
from timeproof.store.schema.v1 import ArraySpec

Array = NDArray[Any]


def describe(dtype: np.dtype[Any]) -> str | list[Any]:
    """Spell a dtype as JSON can hold it; `dtype_of(describe(d)) == d`."""
    described: Any = npy.dtype_to_descr(dtype)
    if isinstance(described, str):
        return described
    spelled: list[Any] = lists(described)
    return spelled


def _tuples(value: Any) -> Any:
    fields = []
    for field in value:
        name, kind, *shape = field
        inner = kind if isinstance(kind, str) else _tuples(kind)
        named = tuple(name) if isinstance(name, list) else name  # (title, name)
        fields.append((named, inner, *(tuple(s) for s in shape)))
    return fields


def dtype_of(spelled: str | list[Any]) -> np.dtype[Any]:
    """Read a dtype back. Raises ValueError; object dtypes are refused."""
    try:
        described: Any = spelled if isinstance(spelled, str) else _tuples(spelled)
        dtype = npy.descr_to_dtype(described)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise ValueError(f"{spelled!r} is not a NumPy dtype") from error
    if dtype.hasobject:
        raise ValueError(f"{spelled!r} holds Python objects")
    return dtype


def spec_of(name: str, member: str, array: Array, element: str = "", scores: bool | None = None) -> ArraySpec:
    """Describe `array`: dtype, shape, and the SHA-256 of its bytes in C order.

    Args:
        element: ONNX's name of the type that its values are of, where NumPy has none.
        scores: whether its last axis holds class scores, where that is known.
    """
    if array.dtype.hasobject:
        raise NotArchivable(
            f"{name!r} holds Python objects (dtype {array.dtype})",
            advice="convert it to a numeric, string or datetime dtype: array.astype(...)",
        )
    try:
        return ArraySpec(
            name=name,
            member=member,
            dtype=describe(array.dtype),
            shape=list(array.shape),
            sha256=Digest.of(array_bytes(array)).hex,
            element=element,
            scores=scores,
        )
    except ValidationError as error:
        raise NotArchivable(
            f"{name[:80]!r} can't be described: {error.errors()[0]['msg']}",
            advice="give arrays shorter names, and at most a million of them",
        ) from error


def array_bytes(array: Array) -> memoryview:
    """The elements' bytes in C order, without a copy where they lie so already."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data if flat.size and flat.itemsize else memoryview(b"")


def specs_of(
    kind: str,
    arrays: Mapping[str, Array],
    elements: Mapping[str, str] | None = None,
    scores: Mapping[str, bool] | None = None,
) -> list[ArraySpec]:
    """Describe each array, as `spec_of` does; `elements` and `scores` are by name."""
    foreign, ranked = elements or {}, scores or {}
    return [
        spec_of(name, f"{kind}_{i}", array, foreign.get(name, ""), ranked.get(name))
        for i, (name, array) in enumerate(arrays.items())
    ]


def write(stream: BinaryIO, **groups: Mapping[str, Array]) -> None:
    """Write groups of arrays (`input=…, output=…`) as one `.npz`: the same arrays, the same bytes."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for kind, arrays in groups.items():
            for index, array in enumerate(arrays.values()):
                info = zipfile.ZipInfo(f"{kind}_{index}.npy", EPOCH_IN_ZIP)
                info.external_attr = 0o644 << 16
                with archive.open(info, "w", force_zip64=True) as member, warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # .npy 2.0 and 3.0 are as good as 1.0
                    npy.write_array(
                        member, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False
                    )


def read(stream: BinaryIO, specs: Sequence[ArraySpec], path: object) -> dict[str, Array]:
    """Read the arrays that `specs` declares, never more bytes than they declare.

    Raises:
        Malformed: a member is missing, or has another dtype or shape than declared.
        Limit: a member holds, or declares, more than it may.
        DigestMismatch: the elements are not the recorded ones.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            return {spec.name: _read_member(archive, spec, path) for spec in specs}
    except BadArchive:
        raise
    except ZIP_ERRORS as error:
        raise Malformed(path, [f"{type(error).__name__}: {error}"]) from error


def read_header(member: IO[bytes], where: str) -> tuple[np.dtype[Any], bool, list[int]]:
    """Read a .npy header of any version: dtype, whether in Fortran order, shape.

    NumPy has no public reader of version 3 (UTF-8 field names). Raises Limit, or one of HEADER_ERRORS.
    """
    description, _ = read_description(member, where)
    dtype = npy.descr_to_dtype(description["descr"])
    return dtype, bool(description["fortran_order"]), [int(n) for n in description["shape"]]


def _read_member(archive: zipfile.ZipFile, spec: ArraySpec, path: object) -> Array:
    where = f"{path}:{spec.member}.npy"
    try:
        dtype = dtype_of(spec.dtype)
    except ValueError as error:
        raise Malformed(path, [f"{spec.member}: {error}"]) from error
    size = dtype.itemsize
    for length in spec.shape:
        size *= length
    if size > LIMITS.array_bytes:
        raise Limit(where, f"{size} bytes declared, at most {LIMITS.array_bytes}")
    with open_stored(archive, f"{spec.member}.npy", where) as member:
        try:
            actual, fortran, shape = read_header(member, where)
        except HEADER_ERRORS as error:
            raise Malformed(where, [f"its header is not one: {error}"]) from error
        if fortran or actual != dtype or shape != spec.shape:
            raise Malformed(where, [f"it is {actual} {shape}, not {dtype} {spec.shape}"])
        data = member.read(size + 1)
    if len(data) != size:
        raise Limit(where, f"its elements are not the {size} bytes declared")
    if (actual_digest := Digest.of(data)) != Digest(spec.sha256):
        raise DigestMismatch(where, Digest(spec.sha256), actual_digest)
    if not dtype.itemsize:
        return np.ndarray(spec.shape, dtype)  # np.zeros would make S0 S1
    return np.frombuffer(data, dtype).reshape(spec.shape)
