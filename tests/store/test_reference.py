"""The reference's arrays: whatever NumPy holds comes back, and never more than was declared."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.laws import examples

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, DigestMismatch, Limit, Malformed, NotArchivable
from timeproof.store import reference
from timeproof.store.schema.v1 import ArraySpec

DTYPES = st.one_of(
    hnp.scalar_dtypes(),
    hnp.byte_string_dtypes(),
    hnp.unicode_string_dtypes(),
    hnp.array_dtypes(max_size=3),
    hnp.nested_dtypes(max_itemsize=64),
)
ARRAYS = DTYPES.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, min_side=0, max_side=3)))


def npz(**groups: dict[str, Any]) -> io.BytesIO:
    stream = io.BytesIO()
    reference.write(stream, **groups)
    return stream


@given(ARRAYS)
@example(np.zeros((2, 3), ">f8"))
@example(np.asfortranarray(np.arange(6).reshape(2, 3)))
@example(np.arange(20).reshape(4, 5)[::-2, 1::2])
@example(np.array(np.datetime64("2026-01-02T03:04:05.123456789")))
@example(np.array([np.nan, -0.0, np.inf]).view("<u8").view("<f8"))
@example(np.ndarray((3,), "S0"))
@example(np.ndarray((2, 0), "U5"))
@example(np.ndarray((3,), np.dtype([])))
@example(np.zeros(2, [("a", "<i4", (2, 2)), ("b", [("c", "U3"), ("d", "M8[s]")])]))
@example(np.array([1, 2]).astype(">c16"))
@examples(150)
def test_what_is_written_reads_back_bit_for_bit(array):
    stream = npz(input={"x": array}, output={"y": array})
    specs = [*reference.specs_of("input", {"x": array}), *reference.specs_of("output", {"y": array})]
    specs = [ArraySpec.model_validate_json(s.model_dump_json()) for s in specs]
    read = reference.read(stream, specs, "r.npz")
    for back in read.values():
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        assert back.tobytes("C") == array.tobytes("C")
    assert npz(input={"x": array}, output={"y": array}).getvalue() == stream.getvalue()


@given(DTYPES)
@examples(100)
def test_a_dtype_reads_back_from_its_spelling(dtype):
    assert reference.dtype_of(reference.describe(dtype)) == dtype


ODD_SPELLINGS = [
    "O",
    "|O",
    [["a", "|O"]],
    "",
    "x",
    "f4,f4",
    [],
    [[]],
    [["a"]],
    [["a", "<f4", 5]],
    [["a", "<f4", [-1]]],
]
ODD_SPELLINGS += [
    [["a", "<f4", [10**30]]],
    [["a", []]],
    [[None, "<f4"]],
    [["a", "<f4"], ["a", "<f4"]],
    "V-1",
    "S-5",
]
ODD_SPELLINGS += [
    "M8[x]",
    "V99999999999",
    "m8[9999999999999999999s]",
    "<f3",
    "=f4",
    "\ud800",
    "f4\0",
    "numpy.float32",
]
ODD_SPELLINGS += [
    [[["title", "a"], "<f4"]],
    [[["a"], "<f4"]],
    [["a", "<f4", [2], 3]],
    [["a", {"x": 1}]],
    [5],
    [[5, 5]],
]


@pytest.mark.parametrize("spelled", ODD_SPELLINGS, ids=repr)
def test_an_odd_dtype_is_a_value_error_or_a_plain_dtype(spelled):
    try:
        dtype = reference.dtype_of(spelled)
    except ValueError:
        return
    assert not dtype.hasobject
    assert dtype.itemsize >= 0


@pytest.mark.parametrize(
    "what", [np.array([None, 1]), np.zeros(2, [("a", "O")])], ids=["plain", "structured"]
)
def test_python_objects_are_refused_before_anything_is_written(what):
    with pytest.raises(NotArchivable, match="Python objects"):
        reference.spec_of("x", "input_0", what)


ARRAY = np.arange(6, dtype="<f4").reshape(2, 3)
SPEC = reference.spec_of("x", "input_0", ARRAY)


def packed(data: bytes, *, name: str = "input_0.npy", how: int = zipfile.ZIP_STORED) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        archive.writestr(name, data)
    return stream


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(text: str, version: bytes = b"\1\0") -> bytes:
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(text))
    return b"\x93NUMPY" + version + length + text.encode()


def test_every_npy_version_is_read():
    data = npy(ARRAY)
    text = data[10 : 10 + struct.unpack("<H", data[8:10])[0]].decode()
    for version in (b"\2\0", b"\3\0"):
        again = header(text, version) + ARRAY.tobytes()
        assert reference.read(packed(again), [SPEC], "r.npz")["x"].tobytes() == ARRAY.tobytes()


def test_a_bomb_stops_at_the_declared_size():
    """Stored, a member can't hold more than its file; deflated, it can, and is refused unread."""
    with pytest.raises(Limit, match="24 bytes declared"):
        reference.read(packed(npy(ARRAY) + bytes(4 << 20)), [SPEC], "r.npz")
    bomb = packed(npy(ARRAY) + bytes(64 << 20), how=zipfile.ZIP_DEFLATED)
    assert len(bomb.getvalue()) < 1 << 20
    with pytest.raises(Malformed, match="compressed"):
        reference.read(bomb, [SPEC], "r.npz")


def test_a_declaration_beyond_the_limit_is_refused_before_it_is_read():
    spec = SPEC.model_copy(update={"shape": [2**53, 2**53]})
    with pytest.raises(Limit, match=f"at most {LIMITS.array_bytes}"):
        reference.read(packed(npy(ARRAY)), [spec], "r.npz")


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        (npy(ARRAY)[:-4], Limit, "not the 24 bytes"),
        (npy(ARRAY) + b"\0", Limit, "not the 24 bytes"),
        (npy(ARRAY.astype("<f8")), Malformed, "float64"),
        (npy(ARRAY.astype(">f4")), Malformed, ">f4"),
        (npy(ARRAY.reshape(3, 2)), Malformed, r"\[3, 2\]"),
        (npy(np.asfortranarray(ARRAY)), Malformed, "not float32"),
        (npy(ARRAY + 1), DigestMismatch, "SHA-256"),
        (b"", Malformed, "r.npz"),
        (b"\x93NUMPY", Malformed, "r.npz"),
        (b"\x93NUMPY\7\0" + bytes(100), Malformed, "r.npz"),
        (
            header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + pickle.dumps([1]),
            Malformed,
            "r.npz",
        ),
        (header("__import__('os').system('true')"), Malformed, "r.npz"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)"), Malformed, "r.npz"),
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -3)}") + bytes(24),
            Malformed,
            "r.npz",
        ),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**9, 3)}"), Malformed, "r.npz"),
        (header("(" * 5000, b"\2\0"), Malformed, "r.npz"),
        (header("-" * 60000 + "1", b"\2\0"), Malformed, "r.npz"),
        (header("'" * 3), Malformed, "r.npz"),
        (header("{'descr': '<f4\0', 'fortran_order': False, 'shape': (2, 3)}"), Malformed, "r.npz"),
        (b"\x93NUMPY\2\0" + struct.pack("<I", 2**31), Limit, "header"),
        (b"\x93NUMPY\1\0" + struct.pack("<H", 400) + b" " * 10, Malformed, "r.npz"),
    ],
    ids=lambda v: "",
)
def test_a_member_that_is_not_the_declared_array_is_named(data, error, match):
    with pytest.raises(error, match=match) as caught:
        reference.read(packed(data), [SPEC], "r.npz")
    assert "r.npz" in caught.value.path


def test_a_pickle_is_never_loaded(tmp_path):
    """The member would make a file, were it unpickled."""
    mark = tmp_path / "unpickled"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(mark), "w")

    objects = np.array([Payload()], dtype=object)
    stream = io.BytesIO()
    np.save(stream, objects, allow_pickle=True)
    for spelled in ("|O", "<f4"):
        with pytest.raises(Malformed):
            reference.read(packed(stream.getvalue()), [SPEC.model_copy(update={"dtype": spelled})], "r.npz")
    assert not mark.exists()


def test_a_missing_member_is_named():
    with pytest.raises(Malformed, match=r"input_0\.npy"):
        reference.read(packed(npy(ARRAY), name="input_1.npy"), [SPEC], "r.npz")


@pytest.mark.parametrize(
    "how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_file_is_never_worse_than_a_typed_error(how):
    """Whoever altered the file has sealed it again, so that its digest says nothing."""
    whole = packed(npy(ARRAY), how=how).getvalue()
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            data = bytearray(whole)
            data[place] ^= 1 << bit
            try:
                read = reference.read(io.BytesIO(bytes(data)), [SPEC], "r.npz")
            except BadArchive as error:
                named = "r.npz" in error.path
            else:
                named = read["x"].tobytes() == ARRAY.tobytes()
            assert named, (place, bit)
    for length in range(0, len(whole), 5):
        with pytest.raises(BadArchive):
            reference.read(io.BytesIO(whole[:length]), [SPEC], "r.npz")


def test_an_encrypted_or_unknown_member_is_malformed():
    data = bytearray(packed(npy(ARRAY)).getvalue())
    central = data.rindex(b"PK\1\2")
    for place, value in ((central + 8, 1), (central + 10, 99)):
        altered = bytearray(data)
        altered[place] = value
        with pytest.raises(Malformed):
            reference.read(io.BytesIO(bytes(altered)), [SPEC], "r.npz")


def test_the_spec_names_the_bytes_in_c_order():
    assert SPEC.sha256 == Digest.of(ARRAY.tobytes()).hex
    assert reference.spec_of("x", "input_0", np.asfortranarray(ARRAY)) == SPEC
    assert zlib.crc32(reference.array_bytes(ARRAY)) == zlib.crc32(ARRAY.tobytes())
