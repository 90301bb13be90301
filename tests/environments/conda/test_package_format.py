"""A .conda package: equal content gives equal bytes, and what was written is read."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from timeproof.environments.conda.package_format import (
    PLACEHOLDER,
    Entry,
    hashes,
    read_info,
    tar_entry,
    write,
)
from timeproof.errors import LockFailed

INDEX = {
    "name": "thing",
    "version": "1.0",
    "build": "0",
    "build_number": 0,
    "subdir": "noarch",
    "depends": [],
}
ENTRIES = [
    Entry("lib/thing.py", b"x = 1\n"),
    Entry("bin/thing", b"#!" + PLACEHOLDER.encode(), executable=True, placeholder=True),
    Entry("bin/other", link="thing"),
]


def test_equal_content_in_any_order_gives_equal_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name / "thing-1.0-0.conda" for name in ("one", "two")]
    for path, entries in zip(paths, (ENTRIES, ENTRIES[::-1]), strict=True):
        path.parent.mkdir()
        write(path, INDEX, entries, {"summary": "a thing"})
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(hashes(paths[0])[0]) == 32
    assert hashes(paths[0]) == hashes(paths[1])


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "thing-1.0-0.conda"
    write(path, INDEX, ENTRIES, {"summary": "a thing"})
    info = read_info(path, "info/index.json", "info/paths.json")
    assert info["info/index.json"] == INDEX
    rows = {row["_path"]: row for row in info["info/paths.json"]["paths"]}
    assert {name: row["path_type"] for name, row in rows.items()} == {
        "bin/other": "softlink", "bin/thing": "hardlink", "lib/thing.py": "hardlink",
    }  # fmt: skip
    assert rows["bin/other"]["sha256"] == rows["bin/thing"]["sha256"]
    assert rows["bin/thing"]["prefix_placeholder"] == PLACEHOLDER
    with pytest.raises(LockFailed, match=r"no info/absent\.json in it"):
        read_info(path, "info/absent.json")


@pytest.mark.parametrize("name", ["thing-1.0-0.conda", "thing-1.0-0.tar.bz2"])
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"BZh9", b"no package"])
def test_what_is_no_package_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LockFailed, match="is not a readable conda package"):
        read_info(tmp_path / name, "info/index.json")


def test_a_tar_header_knows_no_owner_and_no_clock() -> None:
    info = tar_entry("a", size=3, executable=True)
    assert (info.uid, info.gid, info.uname, info.gname, info.mtime) == (0, 0, "", "", 315532800)
    assert (info.mode, tar_entry("a").mode, tar_entry("a", kind=tarfile.DIRTYPE).mode) == (
        0o755,
        0o644,
        0o755,
    )
