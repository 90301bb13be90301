"""Capturing a real conda environment, made by py-rattler from a channel on disk."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from support.environment_making import pip, run

from timeproof.environments.capture.flow import capture
from timeproof.environments.conda import package_format
from timeproof.environments.interpreter.package import InterpreterPackage
from timeproof.environments.lock.reading import read_lock
from timeproof.errors import NotCapturable
from timeproof.store.packages import PackageStore

pytestmark = pytest.mark.slow

# Ends at once: py-rattler's threads may crash an interpreter that ends normally.
_MAKE = """
import asyncio, os, sys
from rattler import GenericVirtualPackage, BuildString, PackageName, Version, install, solve
prefix, channel, subdir, *specs = sys.argv[1:]
async def make():
    glibc = GenericVirtualPackage(PackageName("__glibc"), Version("2.99"), BuildString("0"))
    records = await solve([channel], specs, virtual_packages=[glibc])
    await install(records, prefix, cache_dir=prefix + "-cache", show_progress=False)
asyncio.run(make())
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture
def conda_prefix(channel: Path, packed: InterpreterPackage, tmp_path: Path) -> Path:
    prefix = tmp_path / "conda-env"
    run(sys.executable, "-c", _MAKE, prefix, channel.as_uri(), packed.subdir, "python", "greeting")
    return prefix


def test_its_packages_come_from_the_records(
    conda_prefix: Path, channel: Path, packed: InterpreterPackage, store: PackageStore
) -> None:
    python = conda_prefix / "bin" / "python"
    pip(python, "install", "--no-deps", "--no-compile", "six")
    captured = capture(python, store, name="conda")
    rows = {(p.manager, p.name): p for p in captured.lock.packages}
    assert set(rows) == {
        ("conda", "python"),
        ("conda", "greeting"),
        ("conda", "small-library"),
        ("pip", "six"),
    }
    assert rows["conda", "python"].sha256 == packed.sha256
    noarch = rows["conda", "greeting"]
    assert noarch.platform == packed.subdir
    assert noarch.dependencies == (("python", ">=3.8"), ("small-library", ""))
    assert (
        store.verified(noarch.sha256, noarch.file_name).read_bytes()
        == next((channel / "noarch").glob("greeting-*.conda")).read_bytes()
    )
    assert read_lock(captured.lock.to_bytes(), "x") == captured.lock
    assert str(channel) not in captured.lock.to_bytes().decode() + captured.environment_yml


def test_a_record_with_md5_only_is_completed(conda_prefix: Path, channel: Path, store: PackageStore) -> None:
    (path,) = (conda_prefix / "conda-meta").glob("greeting-*.json")
    record = json.loads(path.read_text())
    del record["sha256"]
    path.write_text(json.dumps(record))
    captured = capture(conda_prefix / "bin" / "python", store, name="conda")
    (package,) = [p for p in captured.lock.packages if p.name == "greeting"]
    _, sha256 = package_format.hashes(next((channel / "noarch").glob("greeting-*.conda")))
    assert package.sha256.hex == sha256


def test_the_package_cache_serves_where_the_channel_is_gone(
    conda_prefix: Path, channel: Path, store: PackageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "pkgs"
    cache.mkdir()
    for path in channel.glob("*/*.conda"):
        shutil.copy(path, cache)
    for path in (conda_prefix / "conda-meta").glob("*.json"):
        record = json.loads(path.read_text())
        record["url"] = f"file:///gone/{record['fn']}"
        path.write_text(json.dumps(record))
    with pytest.raises(NotCapturable, match=r"greeting-1\.2-0\.conda could not be fetched"):
        capture(conda_prefix / "bin" / "python", store, name="conda")
    monkeypatch.setenv("CONDA_PKGS_DIRS", str(cache))
    capture(conda_prefix / "bin" / "python", store, name="conda")


def test_changed_files_and_packages_are_all_named(conda_prefix: Path, store: PackageStore) -> None:
    (greeting,) = conda_prefix.glob("lib/python3*/site-packages/greeting.py")
    greeting.write_text("hello = 'evil'\n")
    (conda_prefix / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}").read_bytes()
    (library,) = conda_prefix.glob("lib/python3*/site-packages/small_library.py")
    library.unlink()
    (site,) = conda_prefix.glob("lib/python3*/sysconfig.py")
    site.write_text(site.read_text() + "# changed\n")
    with pytest.raises(NotCapturable) as caught:
        capture(conda_prefix / "bin" / "python", store, name="conda")
    text = "\n".join(caught.value.problems)
    assert "greeting 1.2 (conda) is not what greeting-1.2-0.conda holds" in text
    assert "small_library.py is missing" in text
    assert "sysconfig.py is not the package's" in text
