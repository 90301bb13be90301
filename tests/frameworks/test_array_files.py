"""Arrays from .npy, .npz and .csv: what they hold, and what is refused before it is believed."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

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
    with pytest.raises(BadData, match="line 2, column 1: 'price' is no number"):
        read(tmp_path / "c.csv")


WORDS = {
    "a word": ("1,2\n3,four\n", "line 2, column 2: 'four' is no number"),
    "a number with underscores": ("1_000\n", "no row"),
    "rows of unequal length": ("1,2\n3\n", "line 2: 1 columns, and 2 before"),
    "fewer numbers than names": ("a,b,c\n1,2\n", "line 2: 2 columns, and 3 before"),
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
    "an array of objects": (npy("'|O'", "(1,)", pickle.dumps([Opens()])), "Python objects"),
    "objects in a structure": (npy("[('a', '|O')]", "(1,)", pickle.dumps([Opens()])), "Python objects"),
    "a negative length": (npy("'<f4'", "(-1,)"), "no array has"),
    "2**62 elements": (npy("'<f4'", "(4611686018427387904,)"), "no array has"),
    "4 GB declared": (npy("'<f4'", "(1073741824,)"), "bytes declared, at most"),
    "cut off": (npy("'<f4'", "(3,)", b"\0" * 11), "not the 12 bytes declared"),
    "too long": (npy("'<f4'", "(3,)", b"\0" * 13), "not the 12 bytes declared"),
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
    with pytest.raises(BadData, match=r"'readme.txt' is no array"):
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
    with pytest.raises(BadData, match=r"read from \.npy, \.npz, \.csv"):
        read(tmp_path / "a.pkl")
    with pytest.raises(BadData, match="no such file"):
        read(tmp_path / "b.npy")
