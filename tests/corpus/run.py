"""Import other people's models with known answers, replay them all, and count the verdicts: `make corpus`.

The ONNX project's own cases (the answers are theirs), and the LightGBM models that hyperopt ships (which
come without answers: those are sealed in an old LightGBM). Everything is made below build/corpus, anew but
for what was fetched; the report is build/corpus/report.json. With --into they go into another archive, beside
what it holds, and nothing is replayed: `make regress` takes them to all environments.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from support.fetching import fetched
from support.paths import REPOSITORY
from tree_inputs import inputs_for

from timeproof import api
from timeproof.base import atomic
from timeproof.cli.console import TerminalProgress
from timeproof.compare.verdict import Verdict
from timeproof.engines.docker import connect
from timeproof.importing.flow import Imported, Request, import_models
from timeproof.replaying.flow import replay
from timeproof.replaying.result import Result
from timeproof.runs import image_provider
from timeproof.runs.environment_provider import by_name, from_lock_folder
from timeproof.store.layout import Archive
from timeproof.store.read import read_metadata

LEAST = 1800  # cases of ONNX's; fewer, and something was lost on the way
GRID = 1
HYPEROPT = "hyperopt 0.2.7"


class Corpus:
    def __init__(self, archive: Archive, progress: TerminalProgress) -> None:
        self.archive = archive
        self.progress = progress
        self.engine = connect()

    def environment(self, named: str) -> str:
        """See that the environment is built, and its image in the engine; give its folder's name."""
        version = self.engine.version()["version"]
        if Path(named).is_dir():
            record = from_lock_folder(
                self.archive, Path(named).resolve(), engine_version=version, progress=self.progress
            )
        else:
            record = by_name(self.archive, named)
        image_provider.provide(self.engine, self.archive, record, progress=self.progress)
        return record.folder

    def imported(self, source: Path, environment: str) -> Imported:
        request = Request(source, GRID, environment, origin="onnx 1.22.0, onnx/backend/test/data")
        return import_models(self.archive, request, connect, progress=self.progress)

    def trees(self, source: Path, environment: str) -> list[str]:
        """Archive hyperopt's models, sealed in `environment`: nobody recorded answers for them."""
        there = {}
        for ref in self.archive.refs():
            tags = read_metadata(self.archive, ref).tags if ref.framework == "lightgbm" else {}
            if tags.get("from") == HYPEROPT:
                there[tags.get("case")] = str(ref)
        refs = []
        for model in sorted(source.glob("model-*.txt")):
            tags = {"from": HYPEROPT, "case": model.stem.removeprefix("model-")}
            if tags["case"] in there:
                refs.append(there[tags["case"]])
                continue
            done = api.archive(
                model,
                inputs_for(model),
                grid_size=GRID,
                root=self.archive.root,
                environment=environment,
                tags=tags,
                progress=self.progress,
            )
            refs.append(str(done.ref))
        return refs


def counts(result: Result) -> dict[str, int]:
    found = Counter(str(r.verdict) for r in result.replayed)
    return {str(v): found[str(v)] for v in Verdict if found[str(v)]}


def cases(archive: Archive, result: Result) -> list[dict[str, Any]]:
    """Every case that is not identical or rounding, with what was found."""
    rows = []
    for one in result.replayed:
        if one.verdict > Verdict.rounding:
            case = read_metadata(archive, one.ref).tags["case"]
            rows.append(
                {"case": case, "verdict": str(one.verdict), "reason": one.reason.splitlines()[0][:300]}
            )
    return sorted(rows, key=lambda r: (r["verdict"], r["case"]))


def into(archive: Archive, data: Path, asked: argparse.Namespace, progress: TerminalProgress) -> int:
    """Import all of it beside what the archive holds; what is there already stays."""
    corpus = Corpus(archive, progress)
    done = corpus.imported(data / "onnx", asked.env)
    count = len(done.refs) + len(done.there)
    trees = [] if asked.skip_trees else corpus.trees(data / "hyperopt", corpus.environment(asked.trees_env))
    progress.close()
    print(
        f"{archive.root}: {count} of ONNX's cases ({len(done.there)} were there),"
        f" {len(trees)} of hyperopt's models"
    )
    return 0 if count >= LEAST else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--env", default=str(REPOSITORY / "lockfiles/onnxruntime-1.32"), help="for ONNX's cases"
    )
    parser.add_argument(
        "--trees-env", default=str(REPOSITORY / "lockfiles/lightgbm-2.2.3"), help="for hyperopt's models"
    )
    parser.add_argument("--skip-trees", action="store_true", help="ONNX's cases alone")
    parser.add_argument("--into", type=Path, help="import into this archive, and replay nothing")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "build/corpus")
    parser.add_argument("--data", type=Path, help="an unpacked corpus, instead of fetching it")
    asked = parser.parse_args()
    data = asked.data or fetched(REPOSITORY / "build/corpus")
    told = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    progress = TerminalProgress()
    if asked.into is not None:
        return into(Archive(asked.into), data, asked, progress)
    corpus = Corpus(Archive(asked.folder / "archive"), progress)
    shutil.rmtree(corpus.archive.root / f"grid-size-{GRID}", ignore_errors=True)
    environment = corpus.environment(asked.env)

    begun = time.monotonic()
    done = corpus.imported(data / "onnx", environment)
    import_seconds = time.monotonic() - begun
    begun = time.monotonic()
    result = replay(corpus.archive, done.refs, corpus.engine, progress=progress)
    replay_seconds = time.monotonic() - begun
    report: dict[str, Any] = {
        "onnx": {
            "from": "onnx 1.22.0",
            "environment": environment,
            "imported": len(done.refs),
            "counts": counts(result),
            "seconds": {"import": round(import_seconds, 1), "replay": round(replay_seconds, 1)},
            "cases": cases(corpus.archive, result),
        },
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
    }
    if not asked.skip_trees:
        old = corpus.environment(asked.trees_env)
        refs = [corpus.archive.locate(r) for r in corpus.trees(data / "hyperopt", old)]
        again = replay(corpus.archive, refs, corpus.engine, progress=progress)
        report["hyperopt"] = {
            "from": HYPEROPT,
            "environment": old,
            "sealed": len(refs),
            "counts": counts(again),
        }
    progress.close()
    asked.folder.mkdir(parents=True, exist_ok=True)
    atomic.write(asked.folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    for name, kind in (("onnx", "imported"), ("hyperopt", "sealed")):
        if name in report:
            table = Table(
                "verdict", "models", title=f"{name}: {report[name][kind]} {kind}", title_justify="left"
            )
            for verdict, count in report[name]["counts"].items():
                table.add_row(verdict, str(count))
            told.print(table)
    told.print(
        f"import {import_seconds:.1f} s, replay {replay_seconds:.1f} s; {asked.folder / 'report.json'}"
    )
    if len(done.refs) < LEAST:
        told.print(f"[bold red]only {len(done.refs)} cases, fewer than {LEAST}[/bold red]")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
