"""Archive a zoo of models, and hold each sealed answer against its user's own: `make zoo`.

Each model is built and asked in a process of its own, before timeproof is imported; its answer is saved; then
that same live object is archived. What the archive's reference holds is compared with the saved answer, never
with timeproof's own idea of it. None may be sealed further than `drift` from it.

    python tests/zoo/run.py                   all of them; exit code 1 where one did not come to what it must
    python tests/zoo/run.py --only lightgbm   those with these letters in their name or module
    python tests/zoo/run.py --quick           those that `make test` runs
    python tests/zoo/run.py --resume          go on where a run was stopped; with --again, failures run again
    python tests/zoo/run.py --json FILE       the rows, also for a part; build/zoo/rows.json is always written
    python tests/zoo/run.py --table           write docs/zoo.md from the rows that are there, and run nothing

Run it with the interpreter of .venv-zoo (`make .venv-zoo/.made` makes it): its packages are what is captured.
PYTHONPATH=toolkit takes this checkout's toolkit. The archive, the answers and each model's log lie below
build/zoo (--folder): `models/NAME/` has `own.npz`, `row.json` and `log.txt`.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zoo_environments
import zoo_table
from rich.console import Console
from rich.markup import escape
from zoo_case import Case, cases_of, of_this_venv
from zoo_judging import marked
from zoo_running import Place, run
from zoo_wheels import ROOT, shipped


def chosen(asked: argparse.Namespace) -> list[Case]:
    cases = [case for case in cases_of(of_this_venv()).values() if case.quick or not asked.quick]
    words = asked.only or [""]
    found = [c for c in cases if any(word in c.name or word in c.module for word in words)]
    if not found:
        raise SystemExit(f"no model has {' or '.join(words)} in its name or module")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="may be given several times")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--resume", action="store_true", help="keep the rows of an earlier run")
    parser.add_argument(
        "--again", action="store_true", help="with --resume: run again what was not as it must be"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument(
        "--table", action="store_true", help="write docs/zoo.md from the rows, and run nothing"
    )
    parser.add_argument("--no-table", action="store_true", help="leave docs/zoo.md as it is")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/zoo")
    return parser.parse_args()


def earlier(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of earlier runs, by name."""
    return {row["name"]: row for row in json.loads(path.read_text())} if path.is_file() else {}


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a second run out of the folder meanwhile: each writes all rows."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another run works in {folder}: wait for it, or give --folder") from None
        yield


def main() -> int:
    asked = arguments()
    console = Console(highlight=False, soft_wrap=True)
    place = Place(asked.folder, asked.folder / "archive", asked.folder / "data")
    rows_file = asked.folder / "rows.json"
    cases = chosen(asked)
    with held(asked.folder):
        rows = earlier(rows_file)
        if not asked.table:
            done = {n for n, row in rows.items() if asked.resume and (row["ok"] or not asked.again)}
            if not (asked.resume or asked.only or asked.quick):
                shutil.rmtree(place.archive / "grid-size-1", ignore_errors=True)  # the models of the last run
            shipped(asked.folder)
            run_all([case for case in cases if case.name not in done], place, rows, rows_file, console)
    mine = [marked(case, rows[case.name]) for case in cases if case.name in rows]
    if asked.json:
        asked.json.write_text(json.dumps(mine, indent=1) + "\n", encoding="utf-8")
    if not asked.no_table and (asked.table or not (asked.only or asked.quick)):
        zoo_table.write(ROOT / "docs/zoo.md", mine)
    bad = [row for row in mine if not row["ok"]]
    console.print(escape(zoo_table.lines(mine)[0]))
    for row in bad:
        console.print(f"  [bold red]{row['name']}[/bold red]: {escape(zoo_table.outcome(row))}")
        console.print(f"    must be: {escape(row['expected'])}")
    return 1 if bad else 0


def run_all(
    cases: list[Case], place: Place, rows: dict[str, dict[str, Any]], rows_file: Path, console: Console
) -> None:
    environments: dict[str, str] = {}
    begun = time.monotonic()
    for number, case in enumerate(cases, 1):
        if case.group not in environments:
            console.print(f"the environment of {case.group} …")
            try:
                environments[case.group] = zoo_environments.prepared(
                    case.group, place.archive, place.folder / "environments"
                )
            except subprocess.CalledProcessError as error:
                raise SystemExit(
                    f"the environment of {case.group} failed:\n{error.stdout}{error.stderr}"
                ) from None
        row = run(case, place, environments[case.group])
        rows[case.name] = row
        rows_file.write_text(json.dumps(list(rows.values()), indent=1) + "\n", encoding="utf-8")
        colour = "green" if row["ok"] else "bold red"
        passed = f"{number}/{len(cases)} {time.monotonic() - begun:5.0f} s"
        said = f"{zoo_table.outcome(row)}  {zoo_table.distance(row)}"
        console.print(f"[dim]{passed}[/dim] [{colour}]{case.name}[/{colour}] {escape(said)}")


if __name__ == "__main__":
    sys.exit(main())
