"""Interpreters as conda packages, and the conda part of an environment as one tar."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from support.environment_making import pip, run, small_package

from timeproof.base.clock import EPOCH
from timeproof.environments.conda import package_format
from timeproof.environments.conda.layer import BaseRoot, conda_part
from timeproof.environments.conda.package_format import Entry
from timeproof.environments.interpreter.inspection import inspect
from timeproof.environments.interpreter.package import InterpreterPackage, pack_interpreter
from timeproof.errors import BuildFailed, LockFailed, NotCapturable

pytestmark = pytest.mark.slow

# What the base image holds; an interpreter must not need anything else.
BASE = {
    "libbz2-1.0", "libc6", "libcrypt1", "libexpat1", "libffi8", "libgcc-s1", "libgomp1", "liblzma5",
    "libncursesw6", "libreadline8", "libsqlite3-0", "libssl3", "libstdc++6", "libtinfo6", "libuuid1",
    "zlib1g",
}  # fmt: skip


def unpack(tar: Path, folder: Path) -> Path:
    with tarfile.open(tar) as archive:
        # Our own file; links stay inside. Python 3.11.2, which Debian 12 has, knows no filters.
        archive.extractall(folder, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))
    return folder / "opt" / "env"


def made(package: InterpreterPackage, tmp_path: Path, base_root: BaseRoot) -> Path:
    conda_part([package.path], tmp_path / "part.tar", base_root)
    return unpack(tmp_path / "part.tar", tmp_path / "elsewhere")


def add_numpy(prefix: Path, minor: str, python: Path) -> None:
    """Install a wheel the way an image does: into the prefix's site-packages."""
    target = prefix / "lib" / f"python{minor}" / "site-packages"
    pip(python, "install", "--no-deps", "--no-compile", "--target", target, "numpy")


def test_the_same_interpreter_gives_the_same_bytes(packed: InterpreterPackage, tmp_path: Path) -> None:
    again = pack_interpreter(inspect(Path(sys.executable)), tmp_path)
    assert again.file_name == packed.file_name
    assert again.sha256 == packed.sha256
    assert again.path.read_bytes() == packed.path.read_bytes()


@pytest.mark.container
def test_it_holds_no_path_of_this_machine(
    packed: InterpreterPackage, tmp_path: Path, base_root: BaseRoot
) -> None:
    if Path(sys.base_prefix) == Path("/usr"):
        pytest.skip("every Debian machine has this prefix")
    prefix = made(packed, tmp_path, base_root)
    found = [
        path.relative_to(prefix)
        for path in prefix.rglob("*")
        if path.is_file() and not path.is_symlink() and sys.base_prefix.encode() in path.read_bytes()
    ]
    assert found == []


def test_it_needs_nothing_that_the_base_lacks(packed: InterpreterPackage) -> None:
    if shutil.which("dpkg-query") is None:
        pytest.skip("dpkg is not here to say which packages hold the libraries")
    assert set(packed.system_packages) <= BASE
    assert "libc.so.6" in packed.system_libraries


@pytest.mark.container
def test_the_part_is_the_same_in_another_folder(
    packed: InterpreterPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_root: BaseRoot
) -> None:
    one = conda_part([packed.path], tmp_path / "one.tar", base_root)
    other = tmp_path / "a" / "much" / "longer" / "temporary" / "folder"
    other.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(other))
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    two = conda_part([packed.path], tmp_path / "two.tar", base_root)
    assert one == two
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


@pytest.mark.container
def test_the_part_knows_no_owner_and_no_clock(
    packed: InterpreterPackage, tmp_path: Path, base_root: BaseRoot
) -> None:
    conda_part([packed.path], tmp_path / "part.tar", base_root)
    with tarfile.open(tmp_path / "part.tar") as tar:
        members = tar.getmembers()
    assert {m.mtime for m in members} == {EPOCH}
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
    assert {m.mode for m in members if m.isreg()} == {0o755, 0o644}
    names = [m.name for m in members]
    assert names[:2] == ["opt", "opt/env"]
    assert all(n == "opt" or n == "opt/env" or n.startswith("opt/env/") for n in names)
    assert "opt/env/CACHEDIR.TAG" not in names


@pytest.mark.container
def test_the_unpacked_interpreter_runs_elsewhere_and_its_pyc_are_used(
    packed: InterpreterPackage, tmp_path: Path, base_root: BaseRoot
) -> None:
    prefix = made(packed, tmp_path, base_root)
    minor = ".".join(packed.version.split(".")[:2])
    add_numpy(prefix, minor, Path(sys.executable))
    code = (
        "import sys, ssl, sqlite3, ctypes, lzma, numpy, json;"
        "print(sys.prefix, numpy.ones(2).sum(), json.__cached__)"
    )
    out = run(prefix / "bin" / "python3", "-I", "-c", code).split()
    assert out[0] == str(prefix)
    assert out[1] == "2.0"
    header = Path(out[2]).read_bytes()[:8]
    assert struct.unpack("<I", header[4:])[0] == 0b01  # hash-based, unchecked
    # Traces show where the files are in the image.
    assert b"/opt/env/lib/python" in Path(out[2]).read_bytes()


@pytest.mark.container
def test_debians_own_interpreter_finds_wheels_in_site_packages(
    system_python: Path, tmp_path: Path, base_root: BaseRoot
) -> None:
    found = inspect(system_python)
    package = pack_interpreter(found, tmp_path)
    assert package.sha256 == pack_interpreter(found, tmp_path / "again").sha256
    if package.system_packages:
        assert set(package.system_packages) <= BASE
    prefix = made(package, tmp_path, base_root)
    add_numpy(prefix, found.minor, system_python)
    code = "import sys, ssl, sqlite3, ctypes, numpy; print(sys.prefix, numpy.__file__)"
    out = run(prefix / "bin" / "python3", "-I", "-c", code).split()
    assert out == [str(prefix), str(prefix / f"lib/python{found.minor}/site-packages/numpy/__init__.py")]


@pytest.mark.parametrize("minor", ["3.6", "3.8", "3.13"])
@pytest.mark.container
def test_other_interpreters_are_packed_as_well(
    minor: str, sibling: Callable[[str], Path], tmp_path: Path, base_root: BaseRoot
) -> None:
    package = pack_interpreter(inspect(sibling(minor)), tmp_path)
    prefix = made(package, tmp_path, base_root)
    code = "import sys, ssl, zlib, ctypes, json; print(sys.prefix, '%d.%d' % sys.version_info[:2])"
    assert run(prefix / "bin" / "python3", "-I", "-c", code).split() == [str(prefix), minor]


def test_an_interpreter_of_another_kind_is_refused(tmp_path: Path) -> None:
    found = inspect(Path(sys.executable))
    changed = type(found)(
        **{**vars(found), "interpreter": {**found.interpreter, "implementation": "pypy"}}  # type: ignore[arg-type]
    )
    with pytest.raises(NotCapturable, match="pypy"):
        pack_interpreter(changed, tmp_path)


@pytest.mark.container
def test_noarch_packages_go_where_the_interpreter_looks(
    packed: InterpreterPackage, channel: Path, tmp_path: Path, base_root: BaseRoot
) -> None:
    noarch = sorted((channel / "noarch").glob("*.conda"))
    conda_part([packed.path, *noarch], tmp_path / "part.tar", base_root)
    prefix = unpack(tmp_path / "part.tar", tmp_path / "elsewhere")
    out = run(prefix / "bin" / "python3", "-I", "-c", "import greeting; print(greeting.hello)")
    assert out == "hello\n"
    records = [json.loads(p.read_bytes()) for p in (prefix / "conda-meta").glob("*.json")]
    assert {r["name"] for r in records} == {"python", "pip", "greeting", "small-library"}
    assert str(tmp_path) not in "".join(json.dumps(r) for r in records)


@pytest.mark.container
def test_packages_of_two_platforms_are_refused(
    packed: InterpreterPackage, tmp_path: Path, base_root: BaseRoot
) -> None:
    foreign = small_package(tmp_path, "x", "1", subdir="osx-arm64")
    with pytest.raises(LockFailed, match="osx-arm64"):
        conda_part([packed.path, foreign], tmp_path / "part.tar", base_root)


@pytest.mark.container
def test_an_interpreter_for_another_machine_is_laid_out_uncompiled(
    tmp_path: Path, base_root: BaseRoot
) -> None:
    subdir = "linux-64" if platform.machine() != "x86_64" else "linux-aarch64"
    files = [Entry("bin/python3.11", b"x", executable=True), Entry("lib/python3.11/os.py", b"")]
    foreign = small_package(tmp_path, "python", "3.11", subdir=subdir, files=files)
    conda_part([foreign], tmp_path / "part.tar", base_root)
    with tarfile.open(tmp_path / "part.tar") as tar:
        assert not any("__pycache__" in name for name in tar.getnames())


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
@pytest.mark.container
def test_a_damaged_package_is_named(
    packed: InterpreterPackage, tmp_path: Path, damage: str, base_root: BaseRoot
) -> None:
    data = bytearray(packed.path.read_bytes())
    data = data[: len(data) // 2] if damage == "truncated" else data
    data[len(data) // 3] ^= 1
    path = tmp_path / packed.file_name
    path.write_bytes(data)
    with pytest.raises((LockFailed, BuildFailed)):
        conda_part([path], tmp_path / "part.tar", base_root)
    assert not (tmp_path / "part.tar").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_no_placeholder_stands_in_a_binary(packed: InterpreterPackage) -> None:
    # Replacing one corrupts an interpreter whose linker merged the tails of strings.
    info = package_format.read_info(packed.path, "info/index.json", "info/paths.json")
    paths = info["info/paths.json"]["paths"]
    assert info["info/index.json"]["version"] == packed.version
    assert {row["path_type"] for row in paths} == {"hardlink", "softlink"}
    assert all(row["file_mode"] == "text" for row in paths if "prefix_placeholder" in row)


# What these packages gave when they were still installed without a container.
GOLDEN = "690d1ba2f16511c0da721f5244f9e0e3e93f09d3bef5e14f6c67b9be1c4f0faf"


@pytest.mark.container
def test_the_bytes_of_a_part_are_those_of_earlier_releases(tmp_path: Path, base_root: BaseRoot) -> None:
    """A prefix in a text, a link, an executable, a module for any platform and its entry point."""
    conda_part(golden_packages(tmp_path / "packages"), tmp_path / "part.tar", base_root)
    assert hashlib.sha256((tmp_path / "part.tar").read_bytes()).hexdigest() == GOLDEN


def golden_packages(folder: Path) -> list[Path]:
    prefix = package_format.PLACEHOLDER.encode()
    files = [
        Entry("bin/python3.11", b"no program", executable=True),
        Entry("bin/python3", link="python3.11"),
        Entry("lib/python3.11/os.py", b"x = 1\n"),
        Entry("lib/python3.11/site-packages/README.txt", b"here\n"),
        Entry("etc/where", b"prefix=" + prefix + b"\n", placeholder=True),
        Entry("bin/tool", b"#!" + prefix + b"/bin/python3.11\nx\n", executable=True, placeholder=True),
    ]
    python = small_package(folder, "python", "3.11.7", subdir="linux-riscv64", files=files)
    files = [Entry("site-packages/hello/__init__.py", b"def main(): print(1)\n")]
    files += [Entry("python-scripts/hi", b"#!/usr/bin/env python\n", executable=True)]
    module = small_package(folder, "hello", "1.0", depends=["python"], files=files)
    link = {
        "noarch": {"type": "python", "entry_points": ["hello = hello:main"]},
        "package_metadata_version": 1,
    }
    return [python, with_metadata(module, "link.json", json.dumps(link).encode())]


def with_metadata(package: Path, name: str, data: bytes) -> Path:
    """The same package with one more file of metadata."""
    with zipfile.ZipFile(package) as archive:
        parts = {n: archive.read(n) for n in archive.namelist()}
    part = next(n for n in parts if n.startswith("info-"))
    inner = io.BytesIO()
    with (
        tarfile.open(
            fileobj=io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(parts[part]))
        ) as old,
        tarfile.open(fileobj=inner, mode="w") as new,
    ):
        for info in old:
            new.addfile(info, old.extractfile(info))
        info = package_format.tar_entry(f"info/{name}", size=len(data))
        new.addfile(info, io.BytesIO(data))
    parts[part] = zstandard.ZstdCompressor().compress(inner.getvalue())
    with zipfile.ZipFile(package, "w") as archive:
        for member, content in parts.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return package
