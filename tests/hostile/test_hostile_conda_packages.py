"""Conda packages of a foreign lock: nothing of theirs runs here, nothing of here gets into their layer."""

from __future__ import annotations

import contextlib
import platform
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hostile_packages import altered, member, write_package

from timeproof.base.digests import Digest
from timeproof.base.limits import Limits
from timeproof.engines.registry import engine_named
from timeproof.environments.conda.layer import BaseRoot, conda_part
from timeproof.environments.interpreter.package import InterpreterPackage
from timeproof.environments.lock.document import Lock, Package
from timeproof.environments.toolbox import frames as inside
from timeproof.environments.toolbox.tree_reading import TreeReader
from timeproof.errors import BuildFailed, DigestMismatch, EngineMissing, LockFailed
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore

SUBDIR = "linux-64" if platform.machine() == "x86_64" else f"linux-{platform.machine()}"
SECRET = b"the host's own secret"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the host that no layer may hold."""
    path = tmp_path / "host" / "secret"
    path.parent.mkdir()
    path.write_bytes(SECRET)
    return path


@pytest.fixture
def laid_out(base_root: BaseRoot, tmp_path: Path, secret: Path) -> Iterator[object]:
    """Lay packages out; whatever comes of it, the host's files are as they were."""
    before = sorted(p for p in tmp_path.rglob("*"))

    def lay_out(*packages: Path) -> set[str]:
        out = tmp_path / "part.tar"
        try:
            conda_part(packages, out, base_root)
        except (BuildFailed, LockFailed):
            assert not out.exists()
            raise
        assert SECRET not in out.read_bytes()
        with tarfile.open(out) as tar:
            members = tar.getmembers()
        assert all(m.isreg() or m.isdir() or m.issym() for m in members)
        return {m.name for m in members}

    yield lay_out
    assert secret.read_bytes() == SECRET
    after = {p for p in tmp_path.rglob("*") if "packages" not in p.parts and p.name != "part.tar"}
    assert after <= set(before)


def script(code: str) -> bytes:
    """A program for /bin/sh, should somebody run it."""
    return b"#!/bin/sh\n" + code.encode()


pytestmark = pytest.mark.container


@pytest.mark.parametrize("kind", ["script", "python"])
def test_an_interpreter_of_a_package_does_not_run_here(
    kind: str, laid_out, tmp_path: Path, secret: Path
) -> None:
    marker = tmp_path / "host" / "marker"
    if kind == "script":
        program = script(f"echo ran > {marker}; cat {secret}\n")
    else:  # a program that this machine has, and that writes what its argument says
        program = f"#!{sys.executable}\nopen({str(marker)!r}, 'w')\n".encode()
    package = write_package(
        tmp_path / "packages",
        [
            member("bin/python3", program, mode=0o755),
            member("lib/python3/os.py", b"x = 1\n"),
        ],
        subdir=SUBDIR,
    )
    with pytest.raises(BuildFailed):
        laid_out(package)
    assert not marker.exists()


@pytest.fixture
def packed(interpreter: InterpreterPackage) -> Path:
    return interpreter.path


def compiling(packed: Path, folder: Path, code: str) -> Path:
    """A package whose interpreter works, and runs `code` when it is asked to compile."""
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return altered(packed, folder, {f"lib/python{minor}/py_compile.py": code.encode()})


def test_a_library_that_is_compiled_reaches_no_file_of_the_host(
    packed: Path, laid_out, tmp_path: Path, secret: Path
) -> None:
    marker = tmp_path / "host" / "marker"
    code = f"""
import os
try:
    taken = open({str(secret)!r}, "rb").read()
except OSError as error:
    taken = repr(error).encode()
open(os.path.join(os.path.dirname(__file__), "taken.py"), "wb").write(taken)
try:
    open({str(marker)!r}, "w")
except OSError:
    pass
class PyCompileError(Exception): pass
def compile(*words, **named): pass
"""
    names = laid_out(compiling(packed, tmp_path / "packages", code))
    assert any(name.endswith("/taken.py") for name in names)  # so it ran, somewhere else
    assert not marker.exists()


def test_a_library_that_never_ends_is_ended(
    packed: Path, laid_out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[str]
) -> None:
    package = compiling(packed, tmp_path / "packages", "while True: pass\n")
    monkeypatch.setattr("timeproof.environments.conda.layer.LIMITS", Limits(prefix_seconds=4.0))
    with pytest.raises(BuildFailed, match="took longer"):
        laid_out(package)
    assert len(started) == 1  # and none is left


def test_a_library_that_speaks_in_the_installer_s_name_is_not_believed(
    packed: Path, laid_out, tmp_path: Path
) -> None:
    code = """
import os, struct
bad = struct.pack(">cIQ", b"f", 8, 4) + b"../owned" + b"evil"
for number in os.listdir("/proc/1/fd"):
    try:
        with open("/proc/1/fd/" + number, "wb", buffering=0) as stream:
            stream.write(bad)
    except OSError:
        pass
class PyCompileError(Exception): pass
def compile(*words, **named): pass
"""
    with pytest.raises(BuildFailed, match="not a plain path"):
        laid_out(compiling(packed, tmp_path / "packages", code))


def test_a_package_that_unpacks_to_more_than_it_may_is_refused(laid_out, tmp_path: Path) -> None:
    """Two gigabytes of zeros in some kilobytes: the container's folder is full, the host's disk is not."""
    package = write_package(
        tmp_path / "packages", [member("share/zeros", bytes(2**31))], name="zeros", subdir=SUBDIR
    )
    assert package.stat().st_size < 2**20
    with pytest.raises((BuildFailed, LockFailed)):
        laid_out(package)


def test_a_post_link_script_runs_nowhere(laid_out, tmp_path: Path) -> None:
    marker = tmp_path / "host" / "marker"
    members = [
        member("bin/.evil-post-link.sh", script(f"touch {marker}; touch $PREFIX/linked\n"), mode=0o755)
    ]
    members += [member("bin/.evil-pre-link.sh", script(f"touch {marker}\n"), mode=0o755)]
    names = laid_out(write_package(tmp_path / "packages", members, name="evil", subdir=SUBDIR))
    assert "opt/env/bin/.evil-post-link.sh" in names
    assert "opt/env/linked" not in names
    assert not marker.exists()


def test_a_listed_path_through_a_linked_folder_brings_no_file_of_the_host(
    laid_out, tmp_path: Path, secret: Path
) -> None:
    members = [member("etc", link=str(secret.parent)), member("share/x", b"x")]
    paths = [
        {"_path": "share/x", "path_type": "hardlink"},
        {"_path": "etc/secret", "path_type": "hardlink"},
    ]
    package = write_package(tmp_path / "packages", members, name="evil", paths=paths, subdir=SUBDIR)
    with pytest.raises((BuildFailed, LockFailed)):
        laid_out(package)


@pytest.mark.parametrize(
    "path", ["../written", "../../../../../../{0}", "{0}", "lib/../../written", "../evil-3.11.7-0/x"]
)
def test_a_listed_path_that_leads_out_is_not_written(path: str, laid_out, tmp_path: Path) -> None:
    outside = tmp_path / "host" / "written"
    row = {"_path": path.format(outside), "path_type": "hardlink"}
    members = [member("x", b"x"), member(row["_path"], b"evil")]
    package = write_package(tmp_path / "packages", members, name="evil", paths=[row], subdir=SUBDIR)
    try:
        names = laid_out(package)
    except (BuildFailed, LockFailed):
        names = set()
    assert not outside.exists()
    assert not any("written" in name for name in names)


@pytest.mark.parametrize("target", ["/etc", "../../outside", "{0}", "x/../../../outside"])
def test_a_link_that_leads_out_is_refused(target: str, laid_out, tmp_path: Path, secret: Path) -> None:
    members = [member("share/out", link=target.format(secret)), member("share/x", b"x")]
    package = write_package(tmp_path / "packages", members, name="evil", subdir=SUBDIR)
    with pytest.raises((BuildFailed, LockFailed)):
        laid_out(package)


def test_links_inside_stay_as_they_are(base_root: BaseRoot, tmp_path: Path) -> None:
    members = [
        member("share/x", b"x"),
        member("lib/y", link="../share/x"),
        member("z", link="/opt/env/lib/y"),
    ]
    package = write_package(tmp_path / "packages", members, name="honest", subdir=SUBDIR)
    conda_part([package], tmp_path / "part.tar", base_root)
    with tarfile.open(tmp_path / "part.tar") as tar:
        links = {m.name: m.linkname for m in tar if m.issym()}
    assert links == {"opt/env/lib/y": "../share/x", "opt/env/z": "/opt/env/lib/y"}


@pytest.mark.parametrize(
    ("kind", "link"), [(tarfile.FIFOTYPE, ""), (tarfile.CHRTYPE, ""), (tarfile.LNKTYPE, "/etc/hostname")]
)
def test_a_member_that_is_no_file_comes_into_no_layer_as_such(
    kind: bytes, link: str, laid_out, tmp_path: Path
) -> None:
    members = [member("share/x", b"x"), member("share/odd", kind=kind, link=link)]
    paths = [{"_path": n, "path_type": "hardlink"} for n in ("share/x", "share/odd")]
    package = write_package(tmp_path / "packages", members, name="evil", paths=paths, subdir=SUBDIR)
    with contextlib.suppress(BuildFailed, LockFailed):
        laid_out(package)  # an empty file at most


def test_a_package_that_is_not_the_locked_one_is_not_opened(base_root: BaseRoot, tmp_path: Path) -> None:
    package = write_package(tmp_path / "packages", [member("x", b"x")], name="other", subdir=SUBDIR)
    with pytest.raises(DigestMismatch):
        conda_part([package], tmp_path / "part.tar", base_root, digests=[Digest.of(b"another")])


def test_without_an_engine_nothing_is_laid_out(
    base_root: BaseRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    monkeypatch.setenv("PATH", str(tmp_path))  # no podman either
    package = write_package(tmp_path / "packages", [member("x", b"x")], name="x", subdir=SUBDIR)
    with pytest.raises(EngineMissing, match="laid out in a container") as caught:
        conda_part([package], tmp_path / "part.tar", base_root)
    assert "TIMEPROOF_ENGINE=none" in caught.value.advice


@pytest.mark.parametrize("name", ["podman", "none"])
def test_each_engine_gives_the_same_layer(
    name: str, packed: Path, base_root: BaseRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    try:
        engine = engine_named(name)
    except EngineMissing as error:
        pytest.skip(error.message)
    here = conda_part([packed], tmp_path / "docker.tar", base_root)
    assert conda_part([packed], tmp_path / "other.tar", base_root, engine=engine) == here


def test_a_build_context_of_a_foreign_lock_runs_nothing_here(
    base_root: BaseRoot, tmp_path: Path, secret: Path
) -> None:
    """The whole way: `timeproof build --stage` on a lock whose python is a program that writes."""
    marker = tmp_path / "host" / "marker"
    package = write_package(
        tmp_path / "packages",
        [
            member("bin/python3", script(f"touch {marker}\n"), mode=0o755),
            member("lib/python3/os.py", b""),
        ],
        subdir=SUBDIR,
    )
    archive = Archive(tmp_path / "archive")
    store = PackageStore(archive.packages)
    digest = store.add_file(package)
    base = store.add_file(base_root.tar)
    locked = Package.stored(
        name="python", version="3.11.7", manager="conda", platform="linux-64", sha256=digest,
        file_name=package.name, md5="0" * 32,
    )  # fmt: skip
    folder = tmp_path / "lockfiles" / "foreign"
    folder.mkdir(parents=True)
    lock = Lock.make([locked]).with_base(base, base_root.tar.name)
    (folder / "conda-lock.yml").write_bytes(lock.to_bytes())
    words = ["build", folder, "--archive", archive.root, "--stage", tmp_path / "contexts"]
    done = subprocess.run(
        [sys.executable, "-m", "timeproof", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr
    assert not marker.exists()


def frame(kind: bytes, name: bytes = b"", content: bytes = b"", size: int | None = None) -> bytes:
    length = len(content) if size is None else size
    return inside.HEADER.pack(kind, len(name), length) + name + content


TREES = {
    "a device": frame(b"c", b"null"),
    "a hard link": frame(b"h", b"x", b"/etc/passwd"),
    "a parent": frame(inside.FILE, b"../x", b"x"),
    "a parent below": frame(inside.FOLDER, b"a") + frame(inside.FILE, b"a/../x", b"x"),
    "absolute": frame(inside.FILE, b"/etc/x", b"x"),
    "empty": frame(inside.FILE, b"", b"x"),
    "a NUL": frame(inside.FILE, b"a\0b", b"x"),
    "no UTF-8": frame(inside.FILE, b"\xff", b"x"),
    "a whiteout": frame(inside.FILE, b".wh.bin"),
    "twice": frame(inside.FILE, b"x", b"1") + frame(inside.FILE, b"x", b"2"),
    "out of order": frame(inside.FILE, b"y") + frame(inside.FILE, b"x"),
    "below a link": frame(inside.LINK, b"a", b"b") + frame(inside.FILE, b"a/x", b"x"),
    "below a file": frame(inside.FILE, b"a", b"b") + frame(inside.FILE, b"a/x", b"x"),
    "below nothing": frame(inside.FILE, b"a/x", b"x"),
    "a link out": frame(inside.LINK, b"a", b"../../etc/passwd"),
    "a link to the root": frame(inside.LINK, b"a", b"/etc/passwd"),
    "a link beside": frame(inside.LINK, b"a", b"/opt/environment"),
    "a link to nothing": frame(inside.LINK, b"a"),
    "a long link": frame(inside.LINK, b"a", b"b" * 5000),
    "a long name": frame(inside.FILE, b"a" * 5000, b"x"),
    "too many bytes": frame(inside.FILE, b"a", b"", size=2**40),
    "too many bytes in all": frame(inside.FILE, b"a", b"x" * 60) + frame(inside.FILE, b"b", b"x" * 60),
    "too many files": b"".join(frame(inside.FILE, b"%03d" % n) for n in range(30)),
    "a folder with content": frame(inside.FOLDER, b"a", b"x"),
}


@pytest.mark.parametrize("what", TREES)
def test_a_stream_that_no_honest_program_sends_is_refused(what: str, tmp_path: Path) -> None:
    sent = memoryview(TREES[what] + frame(inside.END))
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        if at + size > len(sent):
            raise EOFError
        at += size
        return bytes(sent[at - size : at])

    with (tmp_path / "out.tar").open("wb") as out, pytest.raises(BuildFailed, match="can't be laid out"):
        TreeReader("opt/env", out, Limits(prefix_bytes=100, prefix_entries=20)).read(read)


def test_a_stream_that_ends_early_is_not_complete(tmp_path: Path) -> None:
    sent = memoryview(frame(inside.FILE, b"a", b"x" * 50)[:-10])

    def read(size: int) -> bytes:
        nonlocal sent
        if size > len(sent):
            raise EOFError
        data, sent = bytes(sent[:size]), sent[size:]
        return data

    with (tmp_path / "out.tar").open("wb") as out:
        reader = TreeReader("opt/env", out)
        with pytest.raises(EOFError):
            reader.read(read)
    assert not reader.complete


def test_what_the_program_inside_says_holds_no_control_characters(tmp_path: Path) -> None:
    sent = memoryview(frame(inside.FAILED, b"", b"bad \x1b[31m news\n"))

    def read(size: int) -> bytes:
        nonlocal sent
        data, sent = bytes(sent[:size]), sent[size:]
        return data

    with (tmp_path / "out.tar").open("wb") as out:
        reader = TreeReader("opt/env", out)
        reader.read(read)
    assert not reader.complete
    assert reader.refusal is not None
    assert "bad ?[31m news" in reader.refusal.message
