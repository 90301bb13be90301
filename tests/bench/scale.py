"""An archive of 100,000 artifacts in eight environments: how long list and plan take, and their memory.

The artifacts are metadata alone, each whole and checksummed: neither listing nor planning reads more.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from timing import Measure, command, peak_memory, seconds

from timeproof.base.digests import Digest
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_environment, read_metadata

if TYPE_CHECKING:
    from bench import Bench

ARTIFACTS, ENVIRONMENTS = 100_000, 8
_ZEROS = b"0" * 64


def fill(archive: Archive, target: Path) -> Archive:
    """Write many versions of one artifact's metadata, and its environment's record under eight names."""
    ref = archive.locate("grid-size-8/xgboost")
    folder = target / ref.folder
    folder.mkdir(parents=True)
    told = read_metadata(archive, ref).to_bytes().decode()
    head = f'"version": {ref.version},\n'
    if told.count(head) != 1:
        raise SystemExit(f"{ref}: its metadata does not spell its version as this bench expects")
    for version in range(1, ARTIFACTS + 1):
        text = told.replace(head, f'"version": {version},\n')
        path = target / Ref(ref.grid_size, ref.framework, version).metadata
        path.write_bytes(_sealed(text.encode()))
    name = read_metadata(archive, ref).environment.name
    record = read_environment(archive, name)
    for k in range(ENVIRONMENTS):
        folder = target / "environments" / f"{record.name}{k}-{record.lock_sha256[:12]}"
        shutil.copytree(archive.environments / name, folder)
        spelled = json.loads((folder / "image.json").read_bytes()) | {"name": f"{record.name}{k}"}
        text = json.dumps(spelled, indent=2, ensure_ascii=False) + "\n"
        (folder / "image.json").write_bytes(_sealed(text.encode()))
    return Archive(target)


def _sealed(data: bytes) -> bytes:
    at = data.index(b'"checksum": "sha256:') + len(b'"checksum": "sha256:')
    blank = data[:at] + _ZEROS + data[at + 64 :]
    return blank[:at] + Digest.of(blank).hex.encode() + blank[at + 64 :]


def measures(bench: Bench) -> list[Measure]:
    """`ls` and `regress --plan`, the first time and the following ones."""
    big = fill(bench.archive, bench.folder / "big")
    cli = Path(sys.executable).with_name("timeproof")
    ls = [cli, "ls", "--archive", big.root, "--json"]
    plan = [cli, "regress", big.root, "--plan", "--json"]
    section = f"{ARTIFACTS:,} artifacts × {ENVIRONMENTS} environments"
    first = [seconds(lambda: command(plan))]
    rounds = range(max(1, bench.rounds))
    memory = peak_memory(plan) / 2**20
    return [
        Measure(section, "`regress --plan`, the first time", "s", first, 10.0),
        Measure(
            section,
            "`regress --plan`, from then on",
            "s",
            [seconds(lambda: command(plan)) for _ in rounds],
            10.0,
        ),
        Measure(
            section, f"peak memory of the plan ({memory:.0f} MiB) against 500 MB", "×", [memory / 477], 1.0
        ),
        Measure(
            section, "`ls`, after the first time", "s", [seconds(lambda: command(ls)) for _ in rounds], 3.0
        ),
    ]
