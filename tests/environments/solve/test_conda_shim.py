"""The stand-in for conda: what conda-lock asks it, and how it tells a real channel from a made-up one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from timeproof.environments.interpreter.package import InterpreterPackage
from timeproof.environments.solve import conda_shim

pytestmark = pytest.mark.slow


def run(*words: str) -> subprocess.CompletedProcess[str]:
    code = "from timeproof.environments.solve.conda_shim import main; main()"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


def test_it_says_which_conda_it_stands_for() -> None:
    assert run("--version").stdout.startswith("conda 24.")
    assert json.loads(run("info", "--json").stdout) == {"pkgs_dirs": [""]}
    assert run("remove").returncode == 2


def repodata(folder: Path, packages: dict[str, dict[str, str]]) -> str:
    (folder / "linux-64").mkdir(parents=True)
    (folder / "linux-64" / "repodata.json").write_text(json.dumps({"packages": packages}))
    return folder.as_uri()


def test_the_virtual_packages_of_conda_lock_s_own_channel_are_read(tmp_path: Path) -> None:
    glibc = {"name": "__glibc", "version": "2.36", "package_type": "virtual_system"}
    spec = {"name": "__archspec", "version": "1", "build": "x86_64", "package_type": "virtual_system"}
    address = repodata(tmp_path / "virtual", {"a": glibc, "b": spec})
    expected = [("__glibc", "2.36", "0"), ("__archspec", "1", "x86_64")]
    assert conda_shim._virtual(address, "linux-64") == expected
    assert conda_shim._virtual(address, "osx-64") is None


@pytest.mark.parametrize("packages", [{}, {"a": {"name": "six", "version": "1"}}])
def test_a_channel_of_real_packages_is_one(tmp_path: Path, packages: dict[str, dict[str, str]]) -> None:
    assert conda_shim._virtual(repodata(tmp_path / "real", packages), "linux-64") is None
    assert conda_shim._virtual("https://conda.test/forge", "linux-64") is None


@pytest.mark.slow
def test_a_solution_names_every_package_that_is_needed(channel: Path, packed: InterpreterPackage) -> None:
    """With a C library, as conda-lock tells by a channel of its own: the packed interpreter asks for one."""
    glibc = {"name": "__glibc", "version": "2.99", "package_type": "virtual_system"}
    virtual = channel.parent / "virtual-packages"
    (virtual / packed.subdir).mkdir(parents=True, exist_ok=True)
    (virtual / packed.subdir / "repodata.json").write_text(json.dumps({"packages": {"a": glibc}}))
    words = ["create", "--prefix", "/x", "--dry-run", "--json", "--override-channels"]
    words += ["--channel", channel.as_uri(), "--channel", virtual.as_uri(), "greeting"]
    code = "from timeproof.environments.solve.conda_shim import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CONDA_SUBDIR": packed.subdir},
    )
    answer = json.loads(done.stdout)
    assert answer.get("success"), answer
    records = answer["actions"]["FETCH"]
    assert {record["name"] for record in records} == {"greeting", "small-library", "python"}
    assert all(record["fn"] and record["url"] for record in records)
