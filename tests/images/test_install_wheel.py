"""The script that installs a wheel in a build: PyPA's `installer` is its measure, old Pythons its users."""

from __future__ import annotations

import base64
import glob
import hashlib
import importlib.util
import os
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

from timeproof.base.digests import Digest
from timeproof.images.resources import image_file

pytestmark = pytest.mark.slow

SCRIPT = image_file("environment/install_wheel.py")
INFO = "small_thing-1.0.dist-info"
DATA = "small_thing-1.0.data"
WHEEL = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
FILES = {
    "small_thing/__init__.py": "def known(x): return x in {'tree', 'net', 'table'}\n",
    "small_thing/größe.txt": "an odd name",
    'small_thing/, "quoted".txt': "an odder one",
    "small_thing/broken.py": "this is no Python",
    "small_thing/__pycache__/__init__.cpython-36.pyc": "someone else's",
    f"{DATA}/scripts/old-command": "#!python -O\nprint(1)\n",
    f"{DATA}/scripts/shell-command": "#!/bin/sh\ntrue\n",
    f"{DATA}/data/share/small/table.csv": "1,2\n",
    f"{DATA}/headers/small.h": "int x;\n",
    f"{DATA}/platlib/small_native.py": "x = 1\n",
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: small-thing\nVersion: 1.0\n",
    f"{INFO}/WHEEL": WHEEL,
    f"{INFO}/entry_points.txt": "[console_scripts]\nsmall = small_thing.cli:main.run\n"
    "other-small=small_thing : known [extra]\n[gui_scripts]\nshown = small_thing:known\n[else]\nx = y\n",
    f"{INFO}/RECORD": "",
}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_wheel", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[..., Path]:
    def make(files: dict[str, str] = FILES, executable: tuple[str, ...] = ()) -> Path:
        path = tmp_path / "small_thing-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as stream:
            for name, text in files.items():
                info = zipfile.ZipInfo(name, (2019, 2, 3, 4, 5, 6))
                info.external_attr = (0o100755 if name in executable else 0o100644) << 16
                stream.writestr(info, text)
        return path

    return make


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


def times(folder: Path) -> set[int]:
    return {path.lstat().st_mtime_ns // 10**9 for path in folder.rglob("*")}


def theirs(wheel: Path, out: Path) -> None:
    site = f"/opt/env/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    folders = {
        "purelib": site,
        "platlib": site,
        "scripts": "/opt/env/bin",
        "data": "/opt/env",
        "headers": site.replace("/lib/", "/include/").removesuffix("/site-packages"),
    }
    to = SchemeDictionaryDestination(folders, "/opt/env/bin/python3", "posix", destdir=str(out))
    with WheelFile.open(wheel) as source, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it says which .pyc it leaves out
        install(source, to, {"INSTALLER": b"timeproof\n"})


def test_every_file_is_the_one_that_pypas_installer_writes(
    wheel: Callable[..., Path], tmp_path: Path
) -> None:
    made = wheel(executable=(f"{DATA}/scripts/old-command", "small_thing/__init__.py"))
    theirs(made, tmp_path / "theirs")
    script().install(str(made), str(tmp_path / "ours"))
    ours = tree(tmp_path / "ours")
    assert ours == tree(tmp_path / "theirs")
    assert len(ours) == len(FILES) + 3  # less a .pyc; and INSTALLER, and three commands


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"../../outside.py": "x"}, "leads out of its place"),
        ({f"{DATA}/scripts/../../../outside": "x"}, "leads out of its place"),
        ({f"{DATA}/elsewhere/x": "x"}, "no known kind"),
        ({f"{INFO}/entry_points.txt": "[console_scripts]\nx = import os; y\n"}, "can't be read"),
        ({f"{INFO}/WHEEL": WHEEL.replace("1.0", "2.0", 1)}, "version 2.0"),
        ({"another-2.dist-info/METADATA": "Name: another\n"}, "2 .dist-info folders"),
    ],
)
def test_a_wheel_that_is_none_fails_the_build(
    wheel: Callable[..., Path], tmp_path: Path, files: dict[str, str], why: str
) -> None:
    with pytest.raises(SystemExit, match=why):
        script().install(str(wheel(FILES | files)), str(tmp_path / "out"))
    assert not list(tmp_path.rglob("outside*"))


def test_a_changed_byte_installs_nothing(wheel: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has SHA-256"):
        script().check(str(wheel()), "0" * 64)


def python(minor: str) -> str:
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    beside = f"{os.path.dirname(sys.base_prefix)}/{minor}.*/bin/python{minor}"
    for found in sorted(glob.glob(beside) + glob.glob(f"{root}/versions/{minor}.*/bin/python{minor}")):
        return found
    return pytest.skip(f"there is no Python {minor} on this machine")


@pytest.mark.parametrize("minor", ["3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_each_python_that_an_environment_may_hold_installs_the_same_bytes_every_time(
    wheel: Callable[..., Path], tmp_path: Path, minor: str
) -> None:
    made = wheel()
    command = [python(minor), "-I", str(SCRIPT), Digest.of(made.read_bytes()).hex, str(made)]
    for name in ("one", "two"):
        # The same folder, as in a build: a compiled file holds what it was called.
        ended = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        os.rename(tmp_path / "out", tmp_path / name)
    one = tree(tmp_path / "one")
    assert one == tree(tmp_path / "two")
    assert times(tmp_path / "one") == {script().EPOCH}
    site = f"opt/env/lib/python{minor}/site-packages"
    tag = "cpython-" + minor.replace(".", "")
    assert f"{site}/small_thing/__pycache__/__init__.{tag}.pyc" in one
    assert f"{site}/small_thing/größe.txt" in one
    record = one[f"{site}/{INFO}/RECORD"][0].decode()
    data, _ = one["opt/env/bin/small"]
    hashed = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    assert f"../../../bin/small,sha256={hashed},{len(data)}\n" in record
