"""The version of each package in an environment. Reads records alone.

What a package's files really are is not known here: that was proved when it was captured or locked. Which
framework a package brings, `frameworks.registry` knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from timeproof.store.schema.v1 import EnvironmentRecord


def canonical(name: str) -> str:
    """Spell a package's name as indexes compare it: lower case, one dash for each run of -, _ and ."""
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(packages: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Map each package's name to its version.

    Args:
        packages: (kind, name, version); a wheel lies over a conda package of the same name.
    """
    rows = [(kind != "conda", canonical(name), version) for kind, name, version in packages]
    return {name: version for _, name, version in sorted(rows)}


def versions_of(record: EnvironmentRecord) -> dict[str, str]:
    """The version of every package in an environment by its name: `python`, `numpy`, `torch`, …"""
    return versions((p.kind, p.name, p.version) for p in record.packages if p.kind in {"wheel", "conda"})
