"""`timeproof replay`"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from timeproof.cli.console import (
    ArchiveOption,
    EngineOption,
    JsonOption,
    RegistryOption,
    TerminalProgress,
    print_json,
    run_command,
)
from timeproof.errors import BadRequest
from timeproof.store.layout import DEFAULT_ARCHIVE

NAME = "replay"
HELP = "Run artifacts again in their own container, without a network, and compare bit for bit."
EXAMPLES = """\
timeproof replay grid-size-8/pytorch/v1

timeproof replay grid-size-8/xgboost          the newest version

timeproof replay --all --image rebuild        insists on rebuilding each image to the same digest

timeproof replay --all --registry registry.example.org/models     pulls images by digest

timeproof replay --all --allow rounding --json

timeproof replay --all --engine none          without Docker, from the stored copy of the image

timeproof replay --all --explain              tries what differs in further ways
"""


def command(
    refs: Annotated[
        list[str] | None, typer.Argument(help="grid-size-N/FRAMEWORK/vN …; without /vN the newest.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every artifact of the archive.")] = False,
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    image: Annotated[
        str,
        typer.Option(
            help="auto: the engine's, else pulled from --registry, else rebuilt, else the stored copy;"
            " ready: the same, and builds nothing; registry, rebuild, stored insist."
        ),
    ] = "auto",
    registry: RegistryOption = "",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="A rebuild runs every step again.")] = False,
    allow: Annotated[
        str,
        typer.Option(
            help="The worst verdict that still passes: identical, rounding, drift, outliers, broken."
        ),
    ] = "identical",
    strict: Annotated[
        bool, typer.Option("--strict", help="No witness makes good for a native answer on another CPU.")
    ] = False,
    tries: Annotated[
        bool,
        typer.Option(
            "--explain", help="Run what differs natively, portably and emulated, too: what restores it?"
        ),
    ] = False,
    profile: Annotated[
        str | None, typer.Option(help="Other numeric settings than the recorded ones.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds for one artifact.")] = None,
    memory: Annotated[int | None, typer.Option(min=64, help="MiB for the container.")] = None,
    engine: EngineOption = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.base.limits import LIMITS
        from timeproof.compare.verdict import Verdict
        from timeproof.engines.registry import engine_named
        from timeproof.replaying.flow import replay
        from timeproof.runs.profiles import profile_named
        from timeproof.store.remote.mirror import open_archive

        graded = [str(v) for v in Verdict if v.graded]
        if allow not in graded:
            raise BadRequest(f"{allow!r} can't be allowed", advice=f"take one of: {', '.join(graded)}")
        if bool(refs) == all_:
            raise BadRequest("name artifacts, or give --all", advice="'timeproof ls' lists them")
        there = open_archive(archive, progress=progress)
        there.require()
        chosen = list(there.refs()) if all_ else [there.locate(r) for r in refs or ()]
        if not chosen:
            raise BadRequest(f"{archive} holds no artifacts")
        limits = LIMITS
        if timeout is not None:
            limits = replace(limits, artifact_seconds=timeout)
        if memory is not None:
            limits = replace(limits, container_memory=memory * 2**20)
        result = replay(
            there,
            chosen,
            engine_named(engine),
            image=image,
            registry=registry,
            no_cache=no_cache,
            profile=profile_named(profile) if profile else None,
            limits=limits,
            tries=tries,
            progress=progress,
        )
        allowed = Verdict(allow)
        passed = result.passes(allowed, strict=strict)
        progress.close()
        if json:
            print_json({**result.to_json(), "allow": allow, "strict": strict, "passed": passed})
        else:
            from timeproof.cli.render.tables import replay_table

            replay_table(result, allowed, strict=strict)
        return result.exit_code or (0 if passed else 1)

    run_command(json, work)
