"""What an environment holds: the frameworks in it, and the version of each package. Reads records alone.

A framework goes by several names in the indexes and channels (`xgboost-cpu` is XGBoost, too). What a
package's files really are is not known here: that was proved when it was captured or locked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from timeproof.store.schema.v1 import EnvironmentRecord

# Of each framework, the packages that bring it; the first that is there tells the version.
FRAMEWORKS: dict[str, tuple[str, ...]] = {
    "pytorch": ("torch", "pytorch", "pytorch-cpu"),
    "xgboost": ("xgboost", "xgboost-cpu", "py-xgboost", "py-xgboost-cpu"),
    "lightgbm": ("lightgbm",),
    "onnx": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(packages: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Map each package's name to its version.

    Args:
        packages: (kind, name, version); a wheel lies over a conda package of the same name.
    """
    rows = [(kind != "conda", _canonical(name), version) for kind, name, version in packages]
    return {name: version for _, name, version in sorted(rows)}


def frameworks(held: Mapping[str, str]) -> dict[str, str]:
    """Of the versions by package name, those of the frameworks that models are of."""
    found = {}
    for framework, names in FRAMEWORKS.items():
        for name in names:
            if name in held:
                found[framework] = held[name]
                break
    return found


def versions_of(record: EnvironmentRecord) -> dict[str, str]:
    """The version of every package in an environment by its name: `python`, `numpy`, `xgboost-cpu`, …"""
    return versions((p.kind, p.name, p.version) for p in record.packages if p.kind in {"wheel", "conda"})


def frameworks_of(record: EnvironmentRecord) -> dict[str, str]:
    """The version of each framework that an environment can replay: `pytorch`, `xgboost`, `lightgbm`, `onnx`.

    `onnx` stands for onnxruntime, which runs such models.
    """
    return frameworks(versions_of(record))
