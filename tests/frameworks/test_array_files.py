"""Arrays from .npy, .npz and .csv: what they hold, and what is refused before it is believed."""

from __future__ import annotations

import io
import itertools
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from timeproof.frameworks import array_files
from timeproof.frameworks.imports import BadData


def read(path, dtype="<f8"):
    return array_files.read(path, name="x", dtype=dtype)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_npy_is_read_in_either_order(tmp_path, order):
    array = np.asarray(np.arange(6, dtype=">i4").reshape(2, 3), order=order)
    np.save(tmp_path / "a.npy", array)
    found = read(tmp_path / "a.npy")["x"]
    assert found.dtype == array.dtype
    assert found.flags.c_contiguous
    assert found.tolist() == array.tolist()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_is_read_by_name_and_in_order(tmp_path, save):
    save(tmp_path / "a.npz", second=np.float32(3), first=np.array(["a", "bc"]))
    found = read(tmp_path / "a.npz")
    assert list(found) == ["second", "first"]
    assert found["second"].shape == ()
    assert found["first"].tolist() == ["a", "bc"]


def test_a_csv_is_numbers_with_or_without_names_of_columns(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2.5\n\n,nan\n-inf,1e3\n")
    found = read(tmp_path / "a.csv")["x"]
    np.testing.assert_array_equal(found, [[1, 2.5], [np.nan, np.nan], [-np.inf, 1000]])
    (tmp_path / "b.csv").write_text("1\n2\n")
    assert read(tmp_path / "b.csv", "<f4")["x"].tolist() == [1, 2]
    assert read(tmp_path / "b.csv", "<f4")["x"].dtype == np.float32


TABS = {
    "a.tsv": "a\tb\n1\t2.5\n\n\t-3\n",
    "a.csv": "\n1\t2.5\n\t-3\n",
    "b.TSV": "\ufeffa\tb\n1\t2.5\n\t-3\n",
    "b.csv": '"a"\t"b"\n1\t2.5\n\t-3\n',
    "c.csv": "1,2.5\n,-3\n",
}


@pytest.mark.parametrize("name", TABS)
def test_tabs_separate_as_commas_do(tmp_path, name):
    (tmp_path / name).write_text(TABS[name], encoding="utf-8")
    np.testing.assert_array_equal(read(tmp_path / name)["x"], [[1, 2.5], [np.nan, -3]])


def test_the_names_of_columns_are_given_where_the_first_line_has_them(tmp_path):
    (tmp_path / "a.csv").write_text("price, qty\n1,2\n")
    (tmp_path / "b.csv").write_text("1,2\n")
    (tmp_path / "c.csv").write_text("price,qty\nprice,qty\n1,2\n")
    assert array_files.read_with_columns(tmp_path / "a.csv", name="x", dtype="<f8")[1] == ("price", "qty")
    assert array_files.read_with_columns(tmp_path / "b.csv", name="x", dtype="<f8")[1] == ()
    with pytest.raises(BadData, match="line 2, column 1: 'price' is not a number"):
        read(tmp_path / "c.csv")


WORDS = {
    "a word": ("1,2\n3,four\n", "line 2, column 2: 'four' is not a number"),
    "a number with underscores": ("1_000\n", "no row"),
    "rows of unequal length": ("1,2\n3\n", "line 2: 1 columns, but 2 before"),
    "fewer numbers than names": ("a,b,c\n1,2\n", "line 2: 2 columns, but 3 before"),
    "half a header": ("a,2\n1,2\n", "line 1, column 1: 'a'"),
    "nothing": ("\n\n", "no row"),
    "only names": ("a,b\n", "no row"),
    "an open quote": ('1,"2\n', "not a .csv"),
}


@pytest.mark.parametrize("what", WORDS)
def test_a_csv_that_is_no_table_of_numbers_is_refused_with_its_place(tmp_path, what):
    text, why = WORDS[what]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BadData, match=why):
        read(tmp_path / "a.csv")


def test_a_csv_of_bytes_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe1,2\n")
    with pytest.raises(BadData, match=r"not a \.csv"):
        read(tmp_path / "a.csv")


class Opens:
    def __reduce__(self):
        return open, ("/nowhere/touched", "w")


def npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


NPY = {
    "a pickle": (pickle.dumps(Opens()), "not an .npy"),
    "an array of objects": (npy("'|O'", "(1,)", pickle.dumps([Opens()])), "unpickled"),
    "objects in a structure": (npy("[('a', '|O')]", "(1,)", pickle.dumps([Opens()])), "unpickled"),
    "a negative length": (npy("'<f4'", "(-1,)"), "no array has"),
    "2**62 elements": (npy("'<f4'", "(4611686018427387904,)"), "no array has"),
    "4 GB declared": (npy("'<f4'", "(1073741824,)"), "bytes declared, at most"),
    "cut off": (npy("'<f4'", "(3,)", b"\0" * 11), "not take the 12 bytes declared"),
    "too long": (npy("'<f4'", "(3,)", b"\0" * 13), "not take the 12 bytes declared"),
    "a header that is code": (npy("__import__('os').abort()", "(1,)"), "not an .npy"),
    "nothing": (b"", "not an .npy"),
}


@pytest.mark.parametrize("what", NPY)
def test_a_hostile_npy_is_refused_by_name(tmp_path, what):
    data, why = NPY[what]
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(BadData, match=why):
        read(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", data)
    with pytest.raises(BadData, match=f"x: .*{why}"):
        read(tmp_path / "a.npz")


def test_a_bomb_stops_before_it_is_unpacked(tmp_path):
    size = 1 << 28
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy("'|u1'", f"({size},)"))
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    assert (tmp_path / "a.npz").stat().st_size < size // 500
    with pytest.raises(BadData, match=f"{size} bytes declared, at most"):
        read(tmp_path / "a.npz")


def test_a_zip_of_anything_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(BadData, match=r"'readme.txt' is not an array"):
        read(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(BadData, match="no array"):
        read(tmp_path / "b.npz")
    whole = io.BytesIO()
    np.savez(whole, x=np.arange(100))
    (tmp_path / "c.npz").write_bytes(whole.getvalue()[:-40])
    with pytest.raises(BadData, match=r"not an \.npz"):
        read(tmp_path / "c.npz")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Opens()))
    with pytest.raises(BadData, match=r"can be read from \.npy, \.npz, \.csv"):
        read(tmp_path / "a.pkl")
    with pytest.raises(BadData, match="no such file"):
        read(tmp_path / "b.npy")


def packed(method: int, name: str = "x.npy") -> bytes:
    """One array in an .npz, compressed by `method`."""
    array, whole = io.BytesIO(), io.BytesIO()
    np.save(array, np.arange(40, dtype="<f4").reshape(8, 5))
    with zipfile.ZipFile(whole, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo(name), array.getvalue(), compress_type=method)
    return whole.getvalue()


METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_that_is_read_gives_the_same_array(tmp_path, method):
    (tmp_path / "a.npz").write_bytes(packed(METHODS[method]))
    assert read(tmp_path / "a.npz")["x"].tolist() == np.arange(40.0).reshape(8, 5).tolist()


@pytest.mark.parametrize("method", ["deflated", "bzip2", "lzma"])
def test_damaged_compressed_data_is_refused(tmp_path, method):
    """Each decompressor raises an error class of its own."""
    data = packed(METHODS[method])
    begin = data.index(b"x.npy") + 5 + (4 if method == "lzma" else 0)  # behind the versions of LZMA's header
    (tmp_path / "a.npz").write_bytes(data[:begin] + b"\xff" * 24 + data[begin + 24 :])
    with pytest.raises(BadData):
        read(tmp_path / "a.npz")


def test_a_members_name_that_is_not_text_is_refused(tmp_path):
    """A zip's flag says that names are UTF-8; here they are not."""
    data = packed(zipfile.ZIP_STORED, "\xe9.npy")
    assert data.count("\xe9".encode()) == 2
    (tmp_path / "a.npz").write_bytes(data.replace("\xe9".encode(), b"\xff\xfe"))
    with pytest.raises(BadData, match=r"not an \.npz: .*utf-8"):
        read(tmp_path / "a.npz")


def test_an_unknown_method_is_refused_by_its_number(tmp_path):
    data = bytearray(packed(zipfile.ZIP_STORED))
    struct.pack_into("<H", data, 8, 93)  # zstd, in the local header and in the directory
    struct.pack_into("<H", data, data.rindex(b"PK\x01\x02") + 10, 93)
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(BadData, match="x: it is compressed by the method 93"):
        read(tmp_path / "a.npz")


SHAPES = {
    "an infinite length": (npy("'<f4'", "(1e999,)"), "not an .npy"),
    "a length that is not a number": (npy("'<f4'", "(1e999-1e999,)"), "not an .npy"),
    "elements without bytes, too many": (
        npy("'|S0'", "(9007199254740992, 9007199254740992)"),
        "no array has",
    ),
    "nothing times too much": (npy("'<f4'", "(0, 9007199254740992, 9007199254740992)"), "no array has"),
    "an empty description": (npy("()", "(1,)"), "not an .npy"),
}


@pytest.mark.parametrize("what", SHAPES)
def test_a_header_that_numpy_cannot_make_an_array_of_is_refused(tmp_path, what):
    data, why = SHAPES[what]
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(BadData, match=why):
        read(tmp_path / "a.npy")


def read_or_refuse(path) -> dict[str, np.ndarray]:
    """Read the arrays, none where the file is refused with a reason; any other error fails the test."""
    try:
        return read(path)
    except BadData as refusal:
        return {} if str(refusal) else pytest.fail("a refusal without a reason")
    finally:
        path.unlink()


WHOLE = [(".npz", packed(method)) for method in METHODS.values()] + [
    (".npy", npy("'<f4'", "(3,)", bytes(12))),
    (".csv", b"a,b\n1,2.5\n,-3\n"),
    (".tsv", b"1\t2\n"),
]
EDITS = st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=0, max_size=4)), min_size=1, max_size=6)
COUNT = itertools.count()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.sampled_from(range(len(WHOLE))), edits=EDITS, cut=st.integers(0, 4000) | st.none())
@example(which=3, edits=[(44, b"\xff\xff\xff\xff")], cut=None)
def test_a_damaged_file_is_read_or_refused(tmp_path, which, edits, cut):
    """Bytes are overwritten, and the end is cut off: the only error is BadData."""
    suffix, whole = WHOLE[which]
    data = bytearray(whole)
    for place, replacement in edits:
        place %= len(data)
        data[place : place + len(replacement)] = replacement
    path = tmp_path / f"{next(COUNT)}{suffix}"
    path.write_bytes(data[:cut])
    for array in read_or_refuse(path).values():
        assert isinstance(array, np.ndarray)


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["<f4", "|O", "|S0", "<U3", "|V8", "<M8[ns]"]),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(descr=LITERALS, shape=LITERALS, order=LITERALS, data=st.binary(max_size=16))
def test_a_header_of_any_literals_is_read_or_refused(tmp_path, descr, shape, order, data):
    text = repr({"descr": descr, "fortran_order": order, "shape": shape}).encode("utf-8", "surrogatepass")
    path = tmp_path / f"{next(COUNT)}.npy"
    path.write_bytes(b"\x93NUMPY\x03\x00" + struct.pack("<I", len(text)) + text + data)
    for array in read_or_refuse(path).values():
        assert not array.dtype.hasobject
