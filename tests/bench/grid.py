"""A grid of old models in many environments: `regress` against one `docker run` a cell.

50 LightGBM models meet eight environments that hold LightGBM: the bench's own, those of `lockfiles/`, and
the newest of them twice. Every cell is a real run. The other side starts a container for each cell, with
the same limits and the frozen probe, and as many side by side; of its cells a fixed sample is run.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from timing import Measure, command, seconds

from timeproof.regression.executors.local import Local
from timeproof.runs import image_provider
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_environment
from timeproof.store.schema.v1 import EnvironmentRecord

if TYPE_CHECKING:
    from bench import Bench

ROOT = Path(__file__).resolve().parents[2]
CLI = Path(sys.executable).with_name("timeproof")
LOCKS = ("lightgbm-2.2.3", "lightgbm-3.3.5", "lightgbm-4.0.0", "lightgbm-4.1.0", "lightgbm-4.7.0", "digits")
AGAIN = "lightgbm-4.7.0"
ARTIFACTS, SAMPLE = 50, 40


def measures(bench: Bench) -> list[Measure]:
    """Build the environments, then run the whole grid and the sample in turn."""
    archive = Archive(bench.clone("grid", [(Ref(8, "lightgbm", 1), ARTIFACTS)]))
    folders = [ROOT / "lockfiles" / name for name in LOCKS]
    shutil.copytree(ROOT / "lockfiles" / AGAIN, bench.folder / f"{AGAIN}-again")
    folders.append(bench.folder / f"{AGAIN}-again")
    built: list[EnvironmentRecord] = []
    try:
        for folder in folders:
            built += _build(bench, archive, folder)
        return [_measured(bench, archive)]
    finally:
        for record in built:
            image_provider.drop(bench.engine, record)
        for name in archive.environment_names():
            if name.startswith(f"{AGAIN}-again"):
                bench.engine.drop(image_provider.tag(name))


def _build(bench: Bench, archive: Archive, folder: Path) -> list[EnvironmentRecord]:
    """Build one environment; gives it where the engine did not have its image, and should not keep it."""
    before = set(archive.environment_names())
    engine = os.environ | {"DOCKER_HOST": bench.engine.address}
    had = subprocess.run(
        ["docker", "images", "--quiet", "--no-trunc"], env=engine, capture_output=True, text=True, check=True
    )
    command([CLI, "build", folder, "--archive", archive.root])
    (name,) = set(archive.environment_names()) - before
    record = read_environment(archive, name)
    return [] if image_provider.locate(bench.engine, record.image) in had.stdout.split() else [record]


def _measured(bench: Bench, archive: Archive) -> Measure:
    names = archive.environment_names()
    cells = list(itertools.product(archive.refs(), names))
    sample = random.Random(0).sample(cells, SAMPLE)
    width = Local(archive, lambda: bench.engine).width
    engine = {"DOCKER_HOST": bench.engine.address}
    runs = [bench.plain(ref, read_environment(archive, name), archive) for ref, name in sample]

    def naive() -> None:
        with ThreadPoolExecutor(width) as pool:
            list(pool.map(lambda words: command(words, engine), runs))

    outs = (bench.folder / f"grid-{k}" for k in itertools.count())
    rounds = max(1, min(3, bench.rounds))
    naive()
    took = []
    for _ in range(rounds):
        out = next(outs)
        whole = seconds(lambda out=out: _regress(bench, archive, out))
        told = Counter(c["verdict"] for c in json.loads((out / "report.json").read_bytes())["cells"])
        if told.total() != len(cells) or told["lost"]:
            raise SystemExit(f"the grid of {len(cells)} cells was not run: {dict(told)}")
        took.append((whole, seconds(naive) / SAMPLE * len(cells)))
    name = f"`regress` against a container a cell, {width} side by side ({SAMPLE} of {len(cells)} run)"
    ours, theirs = (sorted(side)[len(took) // 2] for side in zip(*took, strict=True))
    return Measure(
        f"{ARTIFACTS} artifacts × {len(names)} built environments",
        name,
        "×",
        [a / b for a, b in took],
        0.2,
        {"regress": ours, "containers": theirs},
    )


def _regress(bench: Bench, archive: Archive, out: Path) -> None:
    """Run the whole grid; that some of it answers otherwise in other environments is no failure here."""
    words: list[str | Path] = [CLI, "regress", archive.root, "--out", out, "--json"]
    for name in archive.environment_names():
        words += ["--env", name]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr.decode("utf-8", "replace")[-2000:])
