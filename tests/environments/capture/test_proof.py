"""Installed files against the wheels in the store: every file, every byte, and nothing beside them."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from timeproof.base.digests import Digest
from timeproof.environments.capture.proof import prove
from timeproof.environments.interpreter.inspection import Distribution, Inspection
from timeproof.errors import DigestMismatch
from timeproof.store.packages import PackageStore

MANY = 200  # files: more than one task compares


def distribution(folder: Path, name: str) -> Distribution:
    return Distribution(
        name=name, version="1.0", folder=folder, metadata=f"{name}-1.0.dist-info", installer="pip",
        record=True, requested=True, direct_url=None, tags=(), requires=(), extras=(),
    )  # fmt: skip


class Site:
    """A site folder, with what an installer makes of wheels."""

    def __init__(self, root: Path) -> None:
        self.folder, self.scripts, self.data = root / "site-packages", root / "bin", root
        self.folder.mkdir(parents=True)
        self.scripts.mkdir()
        self.store = PackageStore(root / "packages")
        self.distributions: list[Distribution] = []
        self.wheels: list[tuple[Distribution, Digest, str]] = []

    def install(self, name: str, files: Mapping[str, bytes], *, hashed: bool = True) -> None:
        """Put a wheel of these files into the store, and install it."""
        record = f"{name}-1.0.dist-info/RECORD"
        rows = []
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as wheel:
            for path, data in files.items():
                wheel.writestr(path, data)
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                rows.append(f"{path},sha256={digest},{len(data)}" if hashed else f"{path},,")
            wheel.writestr(record, "\n".join([*rows, f"{record},,"]) + "\n")
        file_name = f"{name}-1.0-py3-none-any.whl"
        dist = distribution(self.folder, name)
        self.distributions.append(dist)
        self.wheels.append((dist, self.store.add_bytes(stream.getvalue(), file_name), file_name))
        for path, data in files.items():
            self.place(path, data)

    def path_of(self, member: str) -> Path:
        _, marker, rest = member.partition(".data/")
        if not marker:
            return self.folder / member
        scheme, _, rest = rest.partition("/")
        return {"scripts": self.scripts, "data": self.data, "purelib": self.folder}[scheme] / rest

    def place(self, member: str, data: bytes) -> None:
        path = self.path_of(member)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.replace(b"#!python", b"#!/usr/bin/python3.11", 1))

    def prove(self, **options: object) -> tuple[dict[str, str], list[str]]:
        inspection = Inspection(
            interpreter={"scripts": str(self.scripts), "data": str(self.data)}, machine={}, markers={},
            folders=(self.folder,), distributions=tuple(self.distributions), broken=(),
        )  # fmt: skip
        return prove(inspection, self.wheels, self.store, **options)  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    files = {f"large/part_{k}.py": b"x = %d\n" % k for k in range(MANY)}
    scripts = {
        "large-1.0.data/scripts/tool": b"#!python\nprint(1)\n",
        "large-1.0.data/scripts/shell": b"#!/bin/sh\necho 1\n",
        "large-1.0.data/data/share/table": b"1\n",
        "large-1.0.data/purelib/large/more.py": b"y = 1\n",
    }
    site.install("large", files | scripts)
    site.install("small", {"small.py": b"z = 1\n"})
    return site


def test_what_is_installed_as_its_wheel_has_it_passes(site: Site) -> None:
    assert site.prove() == ({}, [])


@pytest.mark.parametrize("index", [0, 1, 63, 64, 65, 127, 128, MANY - 1])
def test_one_changed_byte_of_any_file_is_named(site: Site, index: int) -> None:
    (site.folder / f"large/part_{index}.py").write_bytes(b"x = %d " % index)
    assert site.prove() == ({"large": f"large/part_{index}.py is not the wheel's"}, [])


def test_findings_of_several_tasks_are_one_distribution_s(site: Site) -> None:
    for index in (0, 70, 140, 199):
        (site.folder / f"large/part_{index}.py").unlink()
    differences, _ = site.prove()
    names = ", ".join(f"large/part_{index}.py is missing" for index in (0, 70, 140))
    assert differences == {"large": f"{names} and 1 more"}


@pytest.mark.parametrize(
    "member",
    ["scripts/tool", "scripts/shell", "data/share/table", "purelib/large/more.py"],
)
def test_what_lies_outside_the_package_is_compared_too(site: Site, member: str) -> None:
    name = f"large-1.0.data/{member}"
    path = site.path_of(name)
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    if member == "scripts/tool":
        path.write_bytes(b"#!/usr/bin/python3.11\nprint(2)\n")
    assert site.prove()[0] == {"large": f"{name} is not the wheel's"}


def test_of_a_script_only_the_first_line_is_the_installer_s(site: Site) -> None:
    (site.scripts / "tool").write_bytes(b"#!/elsewhere/python\nprint(1)\n")
    assert site.prove()[0] == {}
    (site.scripts / "shell").write_bytes(b"#!/elsewhere/sh\necho 1\n")
    assert site.prove()[0] == {"large": "large-1.0.data/scripts/shell is not the wheel's"}


def test_a_file_without_a_hash_in_the_record_is_compared_with_the_wheel_s_own(tmp_path: Path) -> None:
    site = Site(tmp_path / "other")
    site.install("plain", {"plain.py": b"x = 1\n"}, hashed=False)
    assert site.prove() == ({}, [])
    (site.folder / "plain.py").write_bytes(b"x = 2\n")
    assert site.prove()[0] == {"plain": "plain.py is not the wheel's"}


@pytest.mark.parametrize(
    "name",
    ["stray.py", "stray.so", "stray.so.1", "stray.so.1.2", "stray.pth", "stray.pyd", "stray.pyc",
     "large/stray.cpython-311-x86_64-linux-gnu.so", "deep/er/stray.so"],
)  # fmt: skip
def test_code_that_no_wheel_brought_is_named(site: Site, name: str) -> None:
    (site.folder / name).parent.mkdir(parents=True, exist_ok=True)
    (site.folder / name).write_bytes(b"code")
    assert site.prove() == ({}, [f"{site.folder}: {name}"])
    assert site.prove(accounted=[f"{site.folder}/./{name}"]) == ({}, [])


@pytest.mark.parametrize("name", ["notes.txt", "stray.so.txt", "__pycache__/x.pyc", "_virtualenv.py"])
def test_what_is_no_code_or_a_tool_s_own_is_no_finding(site: Site, name: str) -> None:
    (site.folder / name).parent.mkdir(exist_ok=True)
    (site.folder / name).write_bytes(b"x")
    assert site.prove() == ({}, [])


def test_files_of_a_distribution_that_is_left_out_are_no_stray_code(site: Site) -> None:
    site.distributions.append(distribution(site.folder, "other"))
    (site.folder / "other-1.0.dist-info").mkdir()
    (site.folder / "other-1.0.dist-info/RECORD").write_text("other.py,,\n")
    (site.folder / "other.py").write_bytes(b"x = 1\n")
    assert site.prove() == ({}, [])


@pytest.fixture
def damage(site: Site) -> Callable[[], None]:
    def damage() -> None:
        _, digest, file_name = site.wheels[1]
        path = site.store.path(digest, file_name)
        data = bytearray(path.read_bytes())
        data[data.index(b"z = 1")] ^= 1
        path.write_bytes(data)

    return damage


def test_a_wheel_in_the_store_that_was_altered_proves_nothing(site: Site, damage: Callable[[], None]) -> None:
    damage()
    with pytest.raises(DigestMismatch):
        site.prove()
