"""Paths in a manifest: which are refused, and how a file is opened without being led elsewhere."""

from __future__ import annotations

import os
import socket
import stat
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.waiting import HANG_SECONDS

from timeproof.base.limits import LIMITS
from timeproof.base.paths import check_collisions, check_relative, list_tree, open_regular
from timeproof.errors import Missing, NotRegular, UnsafePath

TRAVERSAL = ["..", "../x", "a/..", "a/../x", "a/../../x", "./x", "a/./x", "a/.", "..\\x", "a\\..\\x", "a\\x"]
ABSOLUTE = ["/", "/x", "//x", "C:x", "C:\\x", "\\\\host\\x", "a/C:", "file:x", "a:b"]
ODD = ["", "a//b", "a/", "/a/", "a\0b", "a\nb", "a\x7f", "a\x1b[2J", "a*", "a?b", 'a"b', "a|b", "<a>"]
RESERVED = ["CON", "con", "Nul.txt", "a/aux", "COM1", "lpt9.tar.gz", "COM¹", "CON .txt", "CONIN$", "prn/x"]
TRAILING = ["a.", "a ", "a/b.", "...", "a ./b", " ."]
LONG = ["n" * 201, "a/" + "ä" * 101, "/".join(["abcdefgh"] * 120)]
UNICODE = [unicodedata.normalize("NFD", "é"), "a/e\u0301", "\ud800", "a/\udcff", "\u212b"]

ORDINARY = ["a", "a/b/c.json", "model_pt_v1.pth", "é", "日本/x", ".hidden", "a b", "console", "com10", "a..b"]
ORDINARY += ["n" * 200, "~", "-rf", "$HOME", "%2e%2e/x", "a'b"]


@pytest.mark.parametrize("path", TRAVERSAL + ABSOLUTE + ODD + RESERVED + TRAILING + LONG + UNICODE)
def test_a_path_that_some_platform_takes_for_another_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath) as caught:
        check_relative(path)
    assert str(caught.value).encode("utf-8")
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize("path", ORDINARY)
def test_an_ordinary_path_comes_back_unchanged(path: str) -> None:
    assert check_relative(path) == path


@given(st.text(alphabet='ab./\\:\0 ~éCON*"\ud800\u0301', max_size=12))
def test_a_path_that_passes_stays_below_its_root(path: str) -> None:
    try:
        checked = check_relative(path)
    except UnsafePath:
        return
    assert checked == path
    joined = os.path.normpath(os.path.join("/the/root", path))
    assert joined == "/the/root/" + path


@given(st.lists(st.sampled_from(["a", "b", "cd", "é", "x.json"]), min_size=1, max_size=5))
def test_a_path_of_ordinary_names_passes(names: list[str]) -> None:
    assert check_relative("/".join(names))


@pytest.mark.parametrize(
    "paths",
    [
        ["A", "a"],
        ["x/A/1", "x/a/2"],
        ["a/b", "A/c"],
        ["é", unicodedata.normalize("NFD", "é")],
        ["É", "é"],
        ["straße", "STRASSE"],
        ["a", "b", "a"],
        ["a", "a/b"],
        ["a/b/c", "a"],
    ],
)
def test_paths_that_can_not_stand_side_by_side_are_refused(paths: list[str]) -> None:
    for order in (paths, paths[::-1]):
        with pytest.raises(UnsafePath):
            check_collisions(order)


@given(st.sets(st.text(alphabet="abc", min_size=1, max_size=3), max_size=8))
def test_paths_that_differ_by_more_than_case_may_stand_side_by_side(names: set[str]) -> None:
    check_collisions(f"{name}/file-{name}" for name in names)


@given(st.text(alphabet="abcé", min_size=1, max_size=6), st.data())
def test_any_change_of_case_collides(name: str, data: st.DataObject) -> None:
    other = "".join(c.upper() if data.draw(st.booleans()) else c for c in name)
    assume(other != name)
    with pytest.raises(UnsafePath, match="the same file as"):
        check_collisions([name, other])


# --- opening ----------------------------------------------------------------------------------


def read(root: Path, relative: str) -> bytes:
    with open_regular(root, relative) as stream:
        return stream.read()


def make_link(path: Path) -> None:
    (path.parent / "target").write_bytes(b"elsewhere")
    path.symlink_to("target")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has 108 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


KINDS: dict[str, Callable[[Path], None]] = {
    "a symbolic link": make_link,
    "a folder": Path.mkdir,
    "a named pipe": os.mkfifo,
    "a socket": make_socket,
}


def test_a_regular_file_is_opened_and_read(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_bytes(b"content")
    assert read(tmp_path, "a/b/c") == b"content"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_refused_by_its_kind(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / "x")
    with pytest.raises(NotRegular) as caught:
        open_regular(tmp_path, "x")
    assert caught.value.nature == kind
    assert caught.value.path == str(tmp_path / "x")


@pytest.mark.parametrize("make", [make_dangling_link, make_loop])
def test_a_link_to_nothing_is_refused_as_a_link(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    with pytest.raises(NotRegular, match="a symbolic link"):
        open_regular(tmp_path, "x")


def test_a_pipe_without_a_writer_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    outcome: list[BaseException] = []

    def attempt() -> None:
        try:
            open_regular(tmp_path, "x")
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(HANG_SECONDS)
    assert not thread.is_alive()
    assert [type(e) for e in outcome] == [NotRegular]


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device needs root")
@pytest.mark.parametrize(
    ("kind", "name"), [(stat.S_IFCHR, "a character device"), (stat.S_IFBLK, "a block device")]
)
def test_a_device_is_refused(tmp_path: Path, kind: int, name: str) -> None:
    try:
        os.mknod(tmp_path / "x", 0o600 | kind, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this container may not make devices")
    with pytest.raises(NotRegular, match=name):
        open_regular(tmp_path, "x")


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_link_in_any_component_is_refused(tmp_path: Path, depth: int) -> None:
    outside = tmp_path / "outside"
    (outside / "b/c").mkdir(parents=True)
    (outside / "b/c/d").write_bytes(b"secret")
    (outside / "c").mkdir()
    (outside / "c/d").write_bytes(b"secret")
    (outside / "d").write_bytes(b"secret")
    root = tmp_path / "root"
    folder = root.joinpath(*"abc"[:depth])
    folder.mkdir(parents=True)
    (folder / "abc"[depth]).symlink_to(outside)
    with pytest.raises(NotRegular, match="a symbolic link") as caught:
        open_regular(root, "a/b/c/d")
    assert caught.value.path == str(folder / "abc"[depth])


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x").write_bytes(b"here")
    (tmp_path / "link").symlink_to("real")
    assert read(tmp_path / "link", "x") == b"here"


@pytest.mark.parametrize("relative", ["x", "a/x", "a/b/x"])
def test_a_missing_file_is_named_with_its_whole_path(tmp_path: Path, relative: str) -> None:
    (tmp_path / "a").mkdir()
    for root in (tmp_path, tmp_path / "no/root"):
        with pytest.raises(Missing) as caught:
            open_regular(root, relative)
        assert caught.value.path == str(root / relative)


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(NotRegular):
        open_regular(tmp_path, "a/b")
    with pytest.raises(Missing):
        open_regular(tmp_path / "a", "b")


@pytest.mark.parametrize("path", TRAVERSAL + ABSOLUTE)
def test_nothing_is_opened_by_an_unsafe_path(tmp_path: Path, path: str) -> None:
    (tmp_path / "x").write_bytes(b"secret")
    (tmp_path / "root/a").mkdir(parents=True)
    with pytest.raises(UnsafePath):
        open_regular(tmp_path / "root", path)


def test_a_parent_swapped_for_a_link_while_reading_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_bytes(b"secret")
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x").write_bytes(b"archived")
    (tmp_path / "link").symlink_to("outside")
    place, done = tmp_path / "a", threading.Event()
    os.rename(tmp_path / "real", place)

    def swap() -> None:
        while not done.is_set():
            os.rename(place, tmp_path / "real")
            os.rename(tmp_path / "link", place)
            os.rename(place, tmp_path / "link")
            os.rename(tmp_path / "real", place)

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[object] = set()
    try:
        for _ in range(3000):
            try:
                seen.add(read(tmp_path, "a/x"))
            except (NotRegular, Missing) as error:
                seen.add(type(error))
    finally:
        done.set()
        thread.join()
    assert b"secret" not in seen
    assert len(seen) > 1  # the swap was met at least once


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_bytes(b"")
    (tmp_path / "a/link").symlink_to("x")
    os.mkfifo(tmp_path / "a/pipe")

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for relative in ["a/x", "a/link", "a/pipe", "a/none", "none/x", "a", "a/x/y", "../x"]:
        try:
            open_regular(tmp_path, relative).close()
        except (Missing, NotRegular, UnsafePath):
            continue
    assert count() == before


# --- listing ----------------------------------------------------------------------------------


def test_everything_that_is_no_folder_is_listed_in_order_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"")
    root = tmp_path / "root"
    (root / "b/c").mkdir(parents=True)
    (root / "empty").mkdir()
    for name in ["z", "A", "b/c/x", "b/0"]:
        (root / name).write_bytes(b"")
    (root / "b/link").symlink_to(outside)
    os.mkfifo(root / "pipe")
    assert list_tree(root) == ["A", "b/0", "b/c/x", "b/link", "pipe", "z"]


def test_names_that_are_not_utf8_are_listed_and_can_be_told(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff", "wb"):
        pass
    assert list_tree(tmp_path) == ["\udcff"]
    with pytest.raises(UnsafePath) as caught:
        check_relative(list_tree(tmp_path)[0])
    assert str(caught.value).encode("utf-8")


def test_a_path_of_the_longest_allowed_length_can_be_written(tmp_path: Path) -> None:
    name = "n" * LIMITS.name_bytes
    check_relative(name)
    (tmp_path / name).write_bytes(b"x")
    assert read(tmp_path, name) == b"x"


@pytest.mark.parametrize("swapped", ["link", "pipe", "folder"])
def test_a_file_swapped_between_the_look_and_the_opening_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    """The look says a regular file; what is opened is something else by then."""
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "regular").write_bytes(b"archived")
    regular, look = os.stat(tmp_path / "regular"), os.stat

    def swap(name: object, **named: object) -> os.stat_result:
        if name != "x":
            return look(name, **named)  # type: ignore[call-overload, no-any-return]
        {
            "link": lambda: (tmp_path / "x").symlink_to("outside"),
            "pipe": lambda: os.mkfifo(tmp_path / "x"),
            "folder": lambda: (tmp_path / "x").mkdir(),
        }[swapped]()
        return regular

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "stat", swap)
    with pytest.raises(NotRegular, match="changing under our feet"):
        open_regular(tmp_path, "x")
    assert len(os.listdir("/proc/self/fd")) == before
