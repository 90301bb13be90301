"""`timeproof regress`"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from timeproof.cli.console import (
    EngineOption,
    JsonOption,
    RegistryOption,
    ReportOption,
    TerminalProgress,
    print_json,
    run_command,
)
from timeproof.cli.console import (
    out as console,
)
from timeproof.errors import BadRequest, NotFound
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.base.limits import Limits
    from timeproof.regression.baseline import Baseline
    from timeproof.regression.executors.protocol import Executor
    from timeproof.regression.journal import Journal
    from timeproof.regression.plan import Plan
    from timeproof.regression.report import Cell, Report
    from timeproof.regression.reports.registry import Target

NAME = "regress"
HELP = "Run old models in other environments, and report which upgrade breaks which model."
EXAMPLES = """\
timeproof regress                                        every artifact in every environment

timeproof regress logs/extensions/models --env lockfiles/ --plan

timeproof regress --env lockfiles/ --artifact 'grid-size-8/lightgbm/*' --resume

timeproof regress --env lockfiles/ --baseline baseline.json --update-baseline

timeproof regress --env lightgbm-4.0.0 --fail-on broken --json

timeproof regress --env lockfiles/ --report junit:junit.xml --report markdown:-
"""
_OUT = Path("logs/regress")
_BASELINE = Path("baseline.json")


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
            help="A folder with a conda-lock.yml, a folder of such folders, or an environment of the archive."
            " Repeatable. By default all of the archive's and all in lockfiles/.",
        ),
    ] = None,
    artifact: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these: grid-size-N/FRAMEWORK/vN, without /vN the newest version; or a pattern with *."
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the plan, and run nothing.")] = False,
    out: Annotated[Path, typer.Option(help="The folder for the reports and the journal.")] = _OUT,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep every finished cell, and run only the missing ones.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Start anew, even where the folder holds an interrupted run.")
    ] = False,
    baseline: Annotated[
        Path | None, typer.Option(help="Compare with this baseline.json, or an earlier report.json.")
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Write this run's verdicts into the baseline.")
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(help="A cell without a promise fails at this verdict or a worse one; by default drift."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="How many containers run at once.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds for one artifact.")] = None,
    memory: Annotated[int | None, typer.Option(min=64, help="MiB for one container.")] = None,
    scheduler: Annotated[
        str, typer.Option(help="A Dask scheduler, tcp://HOST:PORT: the plan runs on its workers.")
    ] = "",
    await_cleanup: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds that the end of a cluster run waits until the machine of a dead worker is cleaned"
            " up; by default 30.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Judge by the native outputs only, also on another CPU; ignore witnesses."
        ),
    ] = False,
    registry: RegistryOption = "",
    engine: EngineOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.base.limits import LIMITS
        from timeproof.regression.journal import Journal
        from timeproof.regression.judging import check_fail_on, judge
        from timeproof.regression.plan import make_plan
        from timeproof.regression.reports.registry import takes_stdout
        from timeproof.regression.reports.writing import write_reports
        from timeproof.store.remote.mirror import open_archive

        if resume and again:
            raise BadRequest("--resume and --again exclude each other", advice="give one of them")
        limit = check_fail_on(fail_on) if fail_on is not None else None
        targets = _targets(report, out, json)
        before = _read_baseline(baseline, update_baseline)
        source = open_archive(archive, progress=progress)
        planned = make_plan(source, env or (), artifact or (), progress=progress)
        if plan:
            progress.close()
            _show_plan(planned, json)
            return 0
        limits = LIMITS.bounded(
            artifact_seconds=timeout, container_mebibytes=memory, cluster_cleanup=await_cleanup
        )
        executor = _Executors(archive, scheduler, registry, engine, workers, limits, progress)
        cells = _run(planned, lambda: Journal(out, resume=resume, again=again), executor)
        named = str(baseline) if baseline is not None and before is not None else None
        judged = judge(cells, before, limit, named, strict=strict)
        written = write_reports(judged, targets)
        if update_baseline:
            written.append(_update_baseline(baseline, before, judged))
        progress.close()
        _show_report(judged, written, json, quiet=takes_stdout(targets))
        return 0 if judged.passed or (update_baseline and not _is_unknown(judged)) else 1

    run_command(json, work)


def _targets(words: list[str] | None, out: Path, json: bool) -> list[Target]:
    """The targets of the reports: the named ones, or by default one of each form in `out`."""
    from timeproof.regression.reports.registry import takes_stdout, targets_of
    from timeproof.regression.reports.writing import targets_by_default

    targets = targets_of(words, out) if words else targets_by_default(out)
    if json and takes_stdout(targets):
        raise BadRequest("--json and a report to stdout exclude each other", advice="give one of them")
    return targets


def _show_plan(plan: Plan, json: bool) -> None:
    from timeproof.cli.render.plans import plan_json, plan_table

    if json:
        print_json(plan_json(plan))
    else:
        plan_table(plan)


def _show_report(report: Report, written: Sequence[Path], json: bool, *, quiet: bool) -> None:
    from timeproof.regression.reports.terminal import print_report

    if json:
        document = report.model_dump(mode="json", by_alias=True)
        print_json({**document, "written": [str(path) for path in written]})
    elif not quiet:
        print_report(console, report)
        console.print("[dim]" + " ".join(escape(str(path)) for path in written) + "[/dim]")


def _is_unknown(report: Report) -> bool:
    """Whether a cell has a verdict that no baseline can accept."""
    from timeproof.replaying.policy import NEVER_ACCEPTED

    return any(c.verdict in NEVER_ACCEPTED for c in report.cells)


def _read_baseline(path: Path | None, updating: bool) -> Baseline | None:
    from timeproof.regression.baseline import Baseline

    file = path or (_BASELINE if updating else None)
    if file is None:
        return None
    if not file.is_file():
        if updating:
            return None
        raise NotFound(f"there is no {file}", advice="write one with --update-baseline")
    return Baseline.parse(file.read_bytes(), file)


def _update_baseline(path: Path | None, before: Baseline | None, report: Report) -> Path:
    """Write the report's verdicts into the baseline, and return its path."""
    from timeproof.base import atomic
    from timeproof.regression.baseline import Baseline, updated

    target = path or _BASELINE
    atomic.write(target, updated(before or Baseline(), report).to_bytes())
    return target


@dataclass(frozen=True, slots=True)
class _Executors:
    """Who runs the plan, and with which bounds."""

    archive: Path
    scheduler: str
    registry: str
    engine: str | None
    workers: int | None
    limits: Limits
    progress: TerminalProgress

    @contextmanager
    def open(self, plan: Plan) -> Iterator[tuple[Executor, str]]:
        """The executor, and the version of this machine's engine ("" where a cluster runs the plan)."""
        if self.scheduler:
            from timeproof.regression.executors.dask.executor import Cluster
            from timeproof.store.remote.address import address_of

            address = address_of(self.archive) or str(self.archive.resolve())
            with Cluster(
                self.scheduler,
                address,
                registry=self.registry,
                engine=self.engine,
                limits=self.limits,
                progress=self.progress,
            ) as cluster:
                yield cluster, ""
            return
        from timeproof.engines.registry import engine_named
        from timeproof.regression.executors.local import Local

        version = engine_named(self.engine).version()["version"]
        local = Local(
            plan.archive,
            lambda: engine_named(self.engine),
            workers=self.workers,
            registry=self.registry,
            limits=self.limits,
            progress=self.progress,
        )
        yield local, version


def _run(plan: Plan, open_journal: Callable[[], Journal], executors: _Executors) -> Report:
    from timeproof.regression.flow import regress

    progress = executors.progress

    def show(cell: Cell, done: int, total: int) -> None:
        progress.detail(f"{done}/{total}  {cell.artifact} in {cell.environment}: {cell.verdict}")

    with executors.open(plan) as (executor, version):
        journal = open_journal()
        try:
            return regress(plan, executor, journal, engine_version=version, on_cell=show, progress=progress)
        finally:
            journal.close()
