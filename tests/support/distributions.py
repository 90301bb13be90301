"""Which of the installed distributions the models need, and which are here for the toolkit and its tests."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

from support.paths import REPOSITORY


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def _closure(names: list[str]) -> set[str]:
    """The distributions that `names` need, directly or not, extras aside."""
    closure: set[str] = set()
    while names:
        name = names.pop()
        if name in closure:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        closure.add(name)
        names += [_name(r) for r in needs if "extra ==" not in r]
    return closure


def all_but_models() -> list[str]:
    """The distributions that are here for the toolkit and its tests alone: no model needs them."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    models = _closure([_name(r) for r in project["optional-dependencies"]["models"]])
    return sorted({_name(d.name) for d in metadata.distributions()} - models - {"timeproof"})
