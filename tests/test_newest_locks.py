"""The newest environment of each framework holds the newest release that the index serves, today.

Only on demand (`make newest`): what an index serves changes by itself, and must not turn another change red.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from packaging.version import InvalidVersion, Version

from test_lockfiles import FOLDERS, asked

ON_DEMAND = "TIMEPROOF_TESTS_NEWEST"
SECONDS = 120  # for one question to the index
# What an environment is called after → the distribution that brings it.
DISTRIBUTIONS = {"xgboost": "xgboost-cpu", "sklearn": "scikit-learn", "tensorflow": "tensorflow-cpu"}
# Only builds of this local version count: the others bring gigabytes of CUDA.
LOCAL = {"torch": "cpu"}


def newest_locked() -> dict[str, Version]:
    """Give the newest locked version of each distribution that an environment is called after."""
    newest: dict[str, Version] = {}
    for folder in FOLDERS:
        name = folder.name.partition("-")[0]
        pins = asked(folder)[1]
        distribution = DISTRIBUTIONS.get(name, name)
        if distribution in pins:
            version = Version(pins[distribution])
            newest[distribution] = max(version, newest.get(distribution, version))
    return newest


def interpreters() -> list[Path]:
    """Give the Pythons of this machine that environments are locked with."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return sorted(root.glob("versions/3.*/bin/python3"))


def versions_in(answer: str) -> list[Version]:
    """Read what `pip index versions` says."""
    match = re.search(r"^Available versions: (.*)$", answer, re.MULTILINE)
    versions = []
    for text in match[1].split(", ") if match else ():
        try:
            versions.append(Version(text))
        except InvalidVersion:  # of a time before there were rules
            continue
    return versions


def served(distribution: str, python: Path) -> list[Version]:
    """Ask the configured index which releases it has for an interpreter; none where pip can't ask."""
    done = subprocess.run(
        [python, "-m", "pip", "index", "versions", "--only-binary", ":all:", distribution],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    local = LOCAL.get(distribution)
    return [v for v in versions_in(done.stdout) if not v.is_prerelease and (not local or v.local == local)]


def test_every_framework_of_the_lockfiles_has_a_newest_one() -> None:
    assert {"lightgbm", "xgboost-cpu", "onnxruntime", "torch", "catboost"} <= set(newest_locked())


def test_what_pip_says_is_read_version_by_version() -> None:
    answer = "thing (2.0)\nAvailable versions: 2.0, 1.10+cpu, 1.9, a broken one\n  INSTALLED: 1.0\n"
    assert versions_in(answer) == [Version("2.0"), Version("1.10+cpu"), Version("1.9")]
    assert versions_in("ERROR: No matching distribution found") == []


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get(ON_DEMAND) != "1", reason=f"asks the index: {ON_DEMAND}=1 (make newest)")
@pytest.mark.parametrize("distribution", sorted(newest_locked()))
def test_the_newest_environment_holds_the_newest_release(distribution: str) -> None:
    releases = {version for python in interpreters() for version in served(distribution, python)}
    assert releases, f"the index serves no {distribution} for any of {interpreters()}"
    locked = newest_locked()[distribution]
    assert locked == max(releases), f"lock an environment of {distribution} {max(releases)}"
