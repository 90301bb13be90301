"""`timeproof regress`"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timeproof.cli.console import (
    EngineOption,
    JsonOption,
    RegistryOption,
    TerminalProgress,
    print_json,
    run_command,
)
from timeproof.errors import BadRequest, NotFound
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.base.limits import Limits
    from timeproof.regression.baseline import Baseline
    from timeproof.regression.executors.protocol import Executor
    from timeproof.regression.plan import Plan
    from timeproof.regression.report import Cell, Report

NAME = "regress"
HELP = "Run old models in other environments, and say which upgrade breaks which model."
EXAMPLES = """\
timeproof regress                                        every artifact in every environment

timeproof regress logs/extensions/models --env lockfiles/ --plan

timeproof regress --env lockfiles/ --artifact 'grid-size-8/lightgbm/*' --resume

timeproof regress --env lockfiles/ --baseline baseline.json --update-baseline

timeproof regress --env lightgbm-4.0.0 --fail-on broken --json
"""
_OUT = Path("logs/regress")


def command(
    archive: Annotated[
        Path,
        typer.Argument(
            help="The archive's folder, or an address such as s3://bucket/models.", envvar="TIMEPROOF_ARCHIVE"
        ),
    ] = DEFAULT_ARCHIVE,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            "-e",
            help="A folder with a conda-lock.yml, a folder of such, or a name in the archive; several."
            " By default all of the archive's and those in lockfiles/.",
        ),
    ] = None,
    artifact: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these: grid-size-N/FRAMEWORK/vN, without the version the newest; or a pattern with *."
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be done, and do nothing.")] = False,
    out: Annotated[Path, typer.Option(help="Where the reports and the journal go.")] = _OUT,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep every finished cell; run only what is missing.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Begin anew, also where an interrupted run lies.")
    ] = False,
    baseline: Annotated[
        Path | None, typer.Option(help="Compare with this baseline.json, or an earlier report.json.")
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Write what was found into the baseline.")
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="The verdict from which on a cell fails that nothing was promised of; drift by default."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Containers side by side.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds for one artifact.")] = None,
    memory: Annotated[int | None, typer.Option(min=64, help="MiB for one container.")] = None,
    scheduler: Annotated[
        str, typer.Option(help="A Dask scheduler, tcp://HOST:PORT: the plan runs on its workers.")
    ] = "",
    registry: RegistryOption = "",
    engine: EngineOption = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.base.limits import LIMITS
        from timeproof.regression.baseline import Baseline, check_fail_on
        from timeproof.regression.plan import make_plan
        from timeproof.store.remote.mirror import open_archive

        if resume and again:
            raise BadRequest("--resume and --again were both given", advice="give one of them")
        limit = check_fail_on(fail_on) if fail_on is not None else None
        known = _read_baseline(baseline, update_baseline)
        there = open_archive(archive, progress=progress)
        made = make_plan(there, env or (), artifact or (), progress=progress)
        if plan:
            from timeproof.cli.render.grids import plan_json, plan_table

            progress.close()
            if json:
                print_json(plan_json(made))
            else:
                plan_table(made)
            return 0
        limits = LIMITS
        if timeout is not None:
            limits = replace(limits, artifact_seconds=timeout)
        if memory is not None:
            limits = replace(limits, container_memory=memory * 2**20)
        where = _Where(archive, scheduler, registry, engine, workers)
        report = _run(made, out, resume, again, where, limits, progress)
        from timeproof.regression.baseline import judge, updated
        from timeproof.regression.flow import write_reports

        source = str(baseline) if baseline is not None and known is not None else None
        report = judge(report, known, limit, source)
        written = write_reports(out, report)
        if update_baseline:
            from timeproof.base import atomic

            target = baseline or Path("baseline.json")
            atomic.write(target, updated(known or Baseline(), report).to_bytes())
            written.append(target)
        progress.close()
        if json:
            print_json(
                {**report.model_dump(mode="json", by_alias=True), "written": [str(w) for w in written]}
            )
        else:
            from timeproof.cli.render.grids import report_table

            report_table(report, written)
        return 0 if report.passed or (update_baseline and not _never(report)) else 1

    run_command(json, work)


def _never(report: Report) -> bool:
    from timeproof.regression.baseline import NEVER

    return any(c.verdict in NEVER for c in report.cells)


def _read_baseline(path: Path | None, updating: bool) -> Baseline | None:
    from timeproof.regression.baseline import Baseline

    named = path or (Path("baseline.json") if updating else None)
    if named is None:
        return None
    if not named.is_file():
        if updating:
            return None
        raise NotFound(f"there is no {named}", advice="write one with --update-baseline")
    return Baseline.parse(named.read_bytes(), named)


@dataclass(frozen=True, slots=True)
class _Where:
    """Who runs the plan."""

    archive: Path
    scheduler: str
    registry: str
    engine: str | None
    workers: int | None


def _run(
    made: Plan,
    out: Path,
    resume: bool,
    again: bool,
    where: _Where,
    limits: Limits,
    progress: TerminalProgress,
) -> Report:
    from timeproof.engines.registry import engine_named
    from timeproof.regression.executors.local import Local
    from timeproof.regression.flow import regress
    from timeproof.regression.journal import Journal

    def told(cell: Cell, done: int, total: int) -> None:
        progress.detail(f"{done}/{total}  {cell.artifact} in {cell.environment}: {cell.verdict}")

    def go(executor: Executor, version: str) -> Report:
        journal = Journal(out, resume=resume, again=again)
        try:
            return regress(made, executor, journal, engine_version=version, on_cell=told, progress=progress)
        finally:
            journal.close()

    if where.scheduler:
        from timeproof.regression.executors.dask.executor import Cluster
        from timeproof.store.remote.mirror import address_of

        seen = address_of(where.archive) or str(where.archive.resolve())
        with Cluster(
            where.scheduler,
            seen,
            registry=where.registry,
            engine=where.engine,
            limits=limits,
            progress=progress,
        ) as cluster:
            return go(cluster, "")
    version = engine_named(where.engine).version()["version"]
    local = Local(
        made.archive,
        lambda: engine_named(where.engine),
        workers=where.workers,
        registry=where.registry,
        limits=limits,
        progress=progress,
    )
    return go(local, version)
