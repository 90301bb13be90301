"""`timeproof replay`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timeproof.cli.console import (
    ArchiveOption,
    EngineOption,
    JsonOption,
    RegistryOption,
    ReportOption,
    TerminalProgress,
    print_json,
    run_command,
)
from timeproof.errors import BadRequest
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.regression.reports.registry import Target
    from timeproof.store.layout import Archive, Ref

NAME = "replay"
HELP = "Run artifacts again in their own environment, without a network, and compare the outputs bit for bit."
EXAMPLES = """\
timeproof replay grid-size-8/pytorch/v1

timeproof replay grid-size-8/xgboost          the newest version

timeproof replay --all --image rebuild        rebuilds each image, to the same digest

timeproof replay --all --registry registry.example.org/models     pulls images by digest

timeproof replay --all --allow rounding --json

timeproof replay --all --engine none          without Docker, from the stored copy of the image

timeproof replay --all --explain              runs what differs in other ways too

timeproof replay --all --report junit:replay.xml --report html:replay.html
"""


def command(
    refs: Annotated[
        list[str] | None, typer.Argument(help="grid-size-N/FRAMEWORK/vN; without /vN the newest version.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every artifact of the archive.")] = False,
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    image: Annotated[
        str,
        typer.Option(
            help="auto: the engine's image, else pull it from --registry, else rebuild it, else load the"
            " stored copy; ready: the same, but never rebuild; registry, rebuild, stored: that source only."
        ),
    ] = "auto",
    registry: RegistryOption = "",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every step of a rebuild again.")] = False,
    allow: Annotated[
        str,
        typer.Option(
            help="The worst verdict that still passes: identical, rounding, drift, outliers, broken."
        ),
    ] = "identical",
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Judge by the native outputs only, also on another CPU; ignore witnesses."
        ),
    ] = False,
    tries: Annotated[
        bool,
        typer.Option(
            "--explain", help="Run what differs natively, portably and emulated too, to see what restores it."
        ),
    ] = False,
    profile: Annotated[str | None, typer.Option(help="Use another profile than the recorded one.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds for one artifact.")] = None,
    memory: Annotated[int | None, typer.Option(min=64, help="MiB for the container.")] = None,
    engine: EngineOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.base.limits import LIMITS
        from timeproof.engines.registry import engine_named
        from timeproof.replaying.flow import replay
        from timeproof.replaying.policy import check_allowed
        from timeproof.runs.profiles import profile_named
        from timeproof.store.remote.mirror import open_archive

        allowed = check_allowed(allow)
        targets, to_stdout = _report_targets(report) if report else ((), False)
        if json and to_stdout:
            raise BadRequest("--json and a report to stdout exclude each other", advice="give one of them")
        if bool(refs) == all_:
            raise BadRequest("name artifacts, or give --all", advice="'timeproof ls' lists them")
        source = open_archive(archive, progress=progress)
        result = replay(
            source,
            _chosen(source, refs or (), archive),
            engine_named(engine),
            image=image,
            registry=registry,
            no_cache=no_cache,
            profile=profile_named(profile) if profile else None,
            limits=LIMITS.bounded(artifact_seconds=timeout, container_mebibytes=memory),
            tries=tries,
            progress=progress,
        )
        passed = result.passes(allowed, strict=strict)
        progress.close()
        if targets:
            from timeproof.regression.replay_report import report_of_replay
            from timeproof.regression.reports.writing import write_reports

            write_reports(report_of_replay(source, result, allowed, strict=strict), targets)
        if json:
            print_json({**result.to_json(), "allow": allow, "strict": strict, "passed": passed})
        elif not to_stdout:
            from timeproof.cli.render.replays import replay_table

            replay_table(result, allowed, strict=strict)
        return result.exit_code or (0 if passed else 1)

    run_command(json, work)


def _report_targets(formats: Sequence[str]) -> tuple[Sequence[Target], bool]:
    """Where each report goes, and whether one goes to stdout. Imported where a report is asked for."""
    from timeproof.regression.reports.registry import takes_stdout, targets_of

    targets = targets_of(formats, Path())
    return targets, takes_stdout(targets)


def _chosen(source: Archive, names: Sequence[str], archive: Path) -> list[Ref]:
    """The named artifacts, or all of them where none is named. Raises NotFound / BadRequest."""
    source.require()
    refs = [source.locate(name) for name in names] or list(source.refs())
    if not refs:
        raise BadRequest(f"{archive} holds no artifacts")
    return refs
