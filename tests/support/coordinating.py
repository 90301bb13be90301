"""A coordinator of the tests: runs every artifact of an archive on a cluster, and keeps what is finished.

`python coordinating.py SCHEDULER ARCHIVE JOURNAL REGISTRY SIZE FAREWELL`: prints the cells that two runs
agree on, and where the images came from.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from timeproof.archive.layout import Archive
from timeproof.archive.verify import read_environment, read_metadata
from timeproof.limits import LIMITS
from timeproof.regress.batch import Batch
from timeproof.regress.cluster import Cluster
from timeproof.regress.result import Cell

VOLATILE = ("seconds", "attempts", "machine", "log")


def stable(cells: dict[tuple[str, str], Cell]) -> list[dict[str, Any]]:
    plain = [cells[key].model_dump(mode="json") for key in sorted(cells)]
    return [{k: v for k, v in cell.items() if k not in VOLATILE} for cell in plain]


def batches_of(archive: Archive, known: set[str], size: int = 1) -> list[Batch]:
    refs = [r for r in archive.refs() if str(r) not in known]
    found = []
    for k in range(0, len(refs), size):
        metadata = read_metadata(archive, refs[k])
        names = tuple(str(r) for r in refs[k : k + size])
        found.append(Batch(metadata.environment.name, metadata.profile, names))
    return found


def main(scheduler: str, root: str, journal: str, registry: str, size: str, farewell: str) -> None:
    archive = Archive(root)
    cells: dict[tuple[str, str], Cell] = {}
    path = Path(journal)
    for line in path.read_text().splitlines() if path.exists() else ():
        cell = Cell.model_validate_json(line)
        cells[cell.key] = cell
    records = {n: read_environment(archive, n) for n in archive.environment_names()}
    sources: list[tuple[str, str, str]] = []
    # An artifact may wait at a gate, and a worker be slow to start again.
    patient = replace(LIMITS, artifact_seconds=3000.0, cluster_farewell=float(farewell))
    with path.open("a") as kept, Cluster(scheduler, root, registry=registry, limits=patient) as cluster:

        def deliver(cell: Cell, _: Any) -> None:
            cells[cell.key] = cell
            kept.write(cell.model_dump_json() + "\n")
            kept.flush()

        work = batches_of(archive, {a for a, _ in cells}, int(size))
        cluster.run(work, records, deliver, lambda *told: sources.append(told))
    print(json.dumps({"cells": stable(cells), "sources": sources}))


if __name__ == "__main__":
    main(*sys.argv[1:])
