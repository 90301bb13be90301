"""The environments that come with the repository: each one whole, dated, placeless, and known to bake."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from support.years import FRAMEWORK

from timeproof.environments.lock.document import STORE, Lock
from timeproof.environments.lock.reading import check_schema, read_lock
from timeproof.frameworks.registry import frameworks_in
from timeproof.images.resources import bake_file
from timeproof.images.tags import check_name
from timeproof.store.environment_contents import versions

REPOSITORY = Path(__file__).parents[1]
FOLDERS = sorted((REPOSITORY / "lockfiles").iterdir())


def lock_of(folder: Path) -> Lock:
    path = folder / "conda-lock.yml"
    return read_lock(path.read_bytes(), path)


def held(folder: Path) -> dict[str, str]:
    return versions((p.manager, p.name, p.version) for p in lock_of(folder).packages)


def asked(folder: Path) -> tuple[list[str], dict[str, str]]:
    """What environment.yml wants of conda, and the pins of its pip part."""
    wanted = yaml.safe_load((folder / "environment.yml").read_text())
    assert wanted["name"] == folder.name
    *conda, last = wanted["dependencies"]
    return conda, dict(pin.split("==") for pin in last["pip"])


def test_the_bake_file_names_every_environment() -> None:
    block = re.search(r'variable "ENVIRONMENTS" \{.*?\n\}', bake_file().read_text(), re.DOTALL)
    assert block
    assert re.findall(r'^    "([^"]+)",$', block[0], re.MULTILINE) == [f.name for f in FOLDERS]


def test_their_targets_have_names_of_their_own() -> None:
    targets = Counter(check_name(f.name).replace(".", "_") for f in FOLDERS)
    assert set(targets.values()) == {1}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_a_lock_is_what_its_environment_yml_asks_for(folder: Path) -> None:
    conda, pins = asked(folder)
    there = held(folder)
    assert [spec.split("=")[0].split(" ")[0] for spec in conda] == ["python"]
    assert {name: there.get(name) for name in pins} == pins
    lock = lock_of(folder)
    assert lock.platforms == ("linux-64",)
    assert lock.base is None  # each machine makes its own
    assert re.fullmatch(r"20(19|2\d)-\d\d-\d\d", lock.dated or "")
    assert all(p.url.startswith(STORE) for p in lock.packages)
    assert set(lock.sizes) == {p.sha256 for p in lock.packages}
    assert re.findall(rb"https?:", lock.to_bytes()) == []


@pytest.mark.parametrize("folder", [f for f in FOLDERS if f.name != "digits"], ids=lambda f: f.name)
def test_an_environment_holds_the_framework_that_it_is_called_after(folder: Path) -> None:
    name, _, version = folder.name.partition("-")
    found = frameworks_in(held(folder))
    assert FRAMEWORK[name] in found  # and what else its packages run: a copy in another format, say
    assert (found[FRAMEWORK[name]] + ".").startswith(version + ".")


def test_conda_locks_own_models_read_them() -> None:
    for folder in (FOLDERS[0], FOLDERS[1]):
        check_schema(lock_of(folder))


def test_what_they_have_in_common_is_the_same_file() -> None:
    files: dict[tuple[str, str, str], set[str]] = {}
    pythons = Counter()
    for folder in FOLDERS:
        python = held(folder)["python"]
        pythons[python] += 1
        for package in lock_of(folder).packages:
            key = (package.name, package.version, python)
            files.setdefault(key, set()).add(package.sha256.hex)
    assert {key: len(digests) for key, digests in files.items() if len(digests) > 1} == {}
    # One interpreter of each minor version of Python, from the oldest that the probe runs on.
    minors = Counter(python.rpartition(".")[0] for python in pythons)
    assert set(minors.values()) == {1}
    assert {"3.6", "3.11", "3.12", "3.13"} <= set(minors)
    assert len(FOLDERS) >= 30


def test_years_lie_between_the_oldest_and_the_newest() -> None:
    dates = sorted(lock_of(folder).dated or "" for folder in FOLDERS)
    assert int(dates[-1][:4]) - int(dates[0][:4]) >= 7
    assert len({date[:4] for date in dates}) >= 5
