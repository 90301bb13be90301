"""Hold what was archived against the user's own answer, and the row against what its model must come to.

No engine here, and nothing is run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from zoo_case import Case

from timeproof.compare.compare import Verdict, compare_outputs

# What a tree's archive holds beside the answer that its user asked for.
BESIDE = {"margin", "raw_score", "raw_formula_val", "pred_leaf"}


def sealed_answer(metadata_file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The published metadata, and the outputs in its reference, read with NumPy alone."""
    metadata = json.loads(metadata_file.read_text(encoding="utf-8"))
    (reference,) = [f["path"] for f in metadata["files"] if f["role"] == "reference"]
    with np.load(metadata_file.parent / reference, allow_pickle=False) as members:
        return metadata, {spec["name"]: members[spec["member"]] for spec in metadata["outputs"]}


def matched(names: list[str], sealed: Mapping[str, np.ndarray]) -> list[str | None]:
    """For each part of the user's answer, the output that it is held against: by name, else by place."""
    if all(name in sealed for name in names):
        return list(names)
    rest = [name for name in sealed if name not in BESIDE]
    return [rest[k] if k < len(rest) else None for k in range(len(names))]


def judged(case: Case, row: dict[str, Any], own_file: Path) -> dict[str, Any]:
    """Add to a row: verdict and distance of what was sealed, and whether all is as it must be."""
    if row["status"] == "sealed":
        row = {**row, **compared(row, own_file)}
    return marked(case, row)


def marked(case: Case, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row, its verdict known, with what its model must come to today."""
    facts = {"group": case.group, "about": case.about, "expected": case.expected}
    return {**row, **facts, "ok": as_expected(case, row)}


def compared(row: dict[str, Any], own_file: Path) -> dict[str, Any]:
    """Compare the sealed answer with the saved one."""
    metadata, sealed = sealed_answer(Path(row["metadata"]))
    facts: dict[str, Any] = {
        "toolkit_says": (metadata.get("training") or {}).get("verdict"),
        "kept": metadata.get("kept", []),
        "notes": metadata.get("notes", []),
        "witnesses": [w.get("kind") for w in metadata.get("witnesses", [])],
        "copies": [
            [c.get("name"), (c.get("distance") or {}).get("verdict")] for c in metadata.get("copies", [])
        ],
    }
    if row["own_error"]:
        return {
            **facts,
            "verdict": "broken",
            "summary": "sealed, although the library itself refuses to answer",
        }
    with np.load(own_file, allow_pickle=False) as members:
        own = [members[f"answer_{k}"] for k in range(len(row["answers"]))]
    names = matched([answer["name"] for answer in row["answers"]], sealed)
    expected = {name or f"missing_{k}": array for k, (name, array) in enumerate(zip(names, own, strict=True))}
    narrow = {
        name: a["computed_in"] for name, a in zip(expected, row["answers"], strict=True) if a["computed_in"]
    }
    actual = {name: array for name, array in sealed.items() if name in expected or name not in BESIDE}
    difference = compare_outputs(expected, actual, computed_in=narrow)
    relative = [d.relative for d in difference.arrays.values() if d.relative is not None]
    return {
        **facts,
        "verdict": str(difference.verdict),
        "summary": difference.summary(),
        "sulp": difference.sulp,
        "relative": max(relative, default=None),
        "outputs": sorted(actual),
    }


def as_expected(case: Case, row: Mapping[str, Any]) -> bool:
    """Whether the row is what the model must come to: never sealed further than drift, whatever else."""
    if row["status"] == "sealed":
        return case.sealed and Verdict(row["verdict"]) <= Verdict.drift
    if row["status"] == "refused":
        text = f"{row['message']} {row['advice']}"
        return any(word in text for word in case.words)
    return False
