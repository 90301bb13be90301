"""Layers laid over each other: as the specification says, and never outside their folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard

from timeproof.engines.sandbox.unpacking import Layers
from timeproof.errors import BadArchive, DigestMismatch, Limit, Malformed, UnsafePath

FOLDER, LINK, HARD, FIFO, DEVICE = (
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
)


def layer(*members: tuple[str, object]) -> bytes:
    """A tar of (path, bytes | (type, link)) in that order."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, what in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o6755
            if isinstance(what, bytes):
                info.size = len(what)
                tar.addfile(info, io.BytesIO(what))
            else:
                info.type, info.linkname = what  # type: ignore[misc]
                tar.addfile(info)
    return stream.getvalue()


def lay(root: Path, *layers: bytes, pack=lambda data: data, limit: int = 1 << 30) -> Path:
    root.mkdir(exist_ok=True)
    laid = Layers(root, limit)
    for data in layers:
        laid.add(io.BytesIO(pack(data)), f"sha256:{hashlib.sha256(data).hexdigest()}", "a layer")
    return root


def files(root: Path) -> dict[str, str]:
    return {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_later_layers_lie_over_earlier_ones(tmp_path, pack):
    first = layer(("a", (FOLDER, "")), ("a/one", b"1"), ("a/two", b"2"), ("bin", (LINK, "usr/bin")))
    second = layer(("a/two", b"two"), ("a/b/c/three", b"3"), ("a/one", (FOLDER, "")), ("a/one/x", b"x"))
    root = lay(tmp_path / "root", first, second, pack=pack)
    assert files(root) == {"a/one/x": "x", "a/two": "two", "a/b/c/three": "3"}
    assert os.readlink(root / "bin") == "usr/bin"


def test_whiteouts_hide_what_lies_below_and_not_what_lies_beside(tmp_path):
    first = layer(
        ("a/one", b"1"), ("a/two", b"2"), ("b/deep/er", b"3"), ("c/old", b"4"), ("link", (LINK, "c"))
    )
    second = layer(
        ("a/.wh.one", b""), (".wh.b", b""), (".wh.link", b""), (".wh.never-there", b""),
        ("c/new", b"n"), ("c/.wh..wh..opq", b""),
    )  # fmt: skip
    root = lay(tmp_path / "root", first, second)
    assert files(root) == {"a/two": "2", "c/new": "n"}
    assert not (root / "link").is_symlink()


def test_hard_links_join_files_of_the_image_and_no_later_layer_writes_through_them(tmp_path):
    first = layer(("a/one", b"1"), ("b/two", (HARD, "a/one")))
    root = lay(tmp_path / "root", first, layer(("b/two", b"changed")))
    assert files(root) == {"a/one": "1", "b/two": "changed"}


def test_nothing_is_setuid(tmp_path):
    root = lay(tmp_path / "root", layer(("su", b"#!")))
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o755


@pytest.fixture
def outside(tmp_path):
    """A folder beside the root, which no layer may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("untouched")
    yield folder
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"precious": "untouched"}


@pytest.mark.parametrize(
    "members",
    [
        [("../outside/x", b"x")],
        [("/tmp/x", b"x")],
        [("a/../../outside/x", b"x")],
        [("out", (LINK, "../outside")), ("out/x", b"x")],
        [("out", (LINK, "../outside")), ("out/precious", b"x")],
        [("out", (LINK, "../outside")), ("out/.wh.precious", b"")],
        [("out", (LINK, "../outside")), ("out/.wh..wh..opq", b"")],
        [("out", (LINK, "../outside")), ("got", (HARD, "out/precious"))],
        [("got", (HARD, "../outside/precious"))],
        [("a", (FOLDER, "")), ("a/.wh...", b"")],
        [("a", (FOLDER, "")), ("l", (LINK, "a")), ("l/m", (LINK, "../..")), ("l/m/outside/x", b"x")],
        [("pipe", (FIFO, ""))],
        [("dev", (DEVICE, ""))],
        [("link", (LINK, "target")), ("hard", (HARD, "link"))],
    ],
)
def test_what_leads_out_or_is_no_file_is_refused(tmp_path, outside, members):
    with pytest.raises((UnsafePath, Malformed)):
        lay(tmp_path / "root", layer(*members))


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **pax: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, dict(pax)
    return info


def sparse_layer(size: int) -> bytes:
    """A tar of one block whose only file says that it has `size` bytes, all of them holes."""
    header = bytearray(entry("holes", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"%011o\0" % size
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:512]))
    return bytes(header) + bytes(1024)


HOSTILE = {
    "a time that is no number": [entry("a", mtime="nan")],
    "an infinite time": [entry("a", mtime="inf")],
    "a time beyond all clocks": [entry("a", mtime="1e300")],
    "a hard link to nothing": [entry("a", HARD, "b")],
    "a hard link to a folder that is not there": [entry("a", HARD, "b/c")],
    "a hard link to itself": [entry("a", HARD, "a")],
    "a hard link to itself by another spelling": [entry("a"), entry("./a", HARD, "a")],
    "a hard link to the root": [entry("a", HARD, ".")],
    "a hard link into what it replaces": [entry("a/b"), entry("a", HARD, "a/b")],
    "a whiteout of its own folder": [entry("a/x"), entry("a/.wh..")],
    "a whiteout of nothing": [entry("a/x"), entry("a/.wh.")],
    "a link to nowhere": [entry("a", LINK, path="a", linkpath="")],
    "a link with a zero byte": [entry("a", LINK, linkpath="x\0y")],
    "a link that is too long": [entry("a", LINK, "x" * 5000)],
    "a name with a zero byte": [entry("a", path="x\0y")],
    "a name that is too long": [entry("n" * 300)],
    "a path that is too long": [entry("/".join(["n" * 100] * 60))],
    "too many folders": [entry("a/" * 400 + "b")],
    "a file below a file": [entry("a"), entry("a/b")],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_member_that_can_not_be_made_condemns_the_layer(tmp_path, outside, case):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in HOSTILE[case]:
            tar.addfile(info)
    with pytest.raises(BadArchive):
        lay(tmp_path / "root", stream.getvalue())


def test_a_hard_link_makes_no_folder_that_the_image_lacks(tmp_path):
    with pytest.raises(UnsafePath):
        lay(tmp_path / "root", layer(("a", (HARD, "b/c/d"))))
    assert list((tmp_path / "root").iterdir()) == []


def test_a_file_of_holes_does_not_fill_the_disk(tmp_path):
    with pytest.raises(Malformed, match="neither a plain file"):
        lay(tmp_path / "root", sparse_layer(1 << 30))


def test_a_folder_over_a_link_replaces_the_link_and_not_what_it_points_to(tmp_path, outside):
    root = lay(
        tmp_path / "root",
        layer(("out", (LINK, "../outside"))),
        layer(("out", (FOLDER, "")), ("out/precious", b"mine")),
    )
    assert files(root) == {"out/precious": "mine"}


def test_a_file_over_a_link_replaces_the_link(tmp_path, outside):
    root = lay(tmp_path / "root", layer(("f", (LINK, "../outside/precious"))), layer(("f", b"mine")))
    assert files(root) == {"f": "mine"}


def test_a_layer_that_is_another_is_refused(tmp_path):
    (tmp_path / "root").mkdir()
    with pytest.raises(DigestMismatch):
        Layers(tmp_path / "root").add(io.BytesIO(layer(("a", b"1"))), "sha256:" + "0" * 64, "a layer")


def test_a_bomb_stops_at_the_limit(tmp_path):
    with pytest.raises(Limit):
        lay(tmp_path / "root", layer(("zeros", bytes(1 << 24))), pack=zstandard.compress, limit=1 << 20)
    assert sum(p.stat().st_size for p in (tmp_path / "root").iterdir()) <= 2 << 20


@pytest.mark.parametrize("data", [b"", b"no tar", b"\x28\xb5\x2f\xfdxxxxxxxx", b"\x1f\x8bxxxxxxxxxx"])
def test_what_is_no_layer_is_named(tmp_path, data):
    (tmp_path / "root").mkdir()
    with pytest.raises(BadArchive):
        Layers(tmp_path / "root").add(io.BytesIO(data), "sha256:" + "0" * 64, "a layer")
