"""`timeproof import`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from timeproof.cli.console import (
    ArchiveOption,
    JsonOption,
    TerminalProgress,
    out,
    print_json,
    run_command,
)
from timeproof.errors import BadRequest
from timeproof.store.layout import DEFAULT_ARCHIVE

NAME = "import"
HELP = (
    "Take in other people's models with their own answers as the reference. Nothing runs, nothing is sealed."
)
EXAMPLES = """\
timeproof import onnx/backend/test/data --grid-size 1 --env lockfiles/digits    a tree of ONNX's cases

timeproof import zoo/resnet18 -n 224 --env digits --from "ONNX model zoo"       model.onnx, test_data_set_0/ …

timeproof import model.txt --inputs x.csv --expected y.csv -n 8 --env lockfiles/digits

timeproof import model.onnx --inputs x.npz --expected y.npz -n 8 --env digits   named as in the graph

timeproof import model.ubj --inputs x.npy --expected y.npz --trees 50 -n 8 --env digits   its first 50 rounds
"""


def command(
    source: Annotated[Path, typer.Argument(help="A folder of ONNX's cases, or a model file.")],
    grid_size: Annotated[str, typer.Option("--grid-size", "-n", help="Any positive whole number.")],
    env: Annotated[
        str,
        typer.Option(
            "--env", help="Where it is replayed: an environment of the archive, or a conda-lock.yml's folder."
        ),
    ],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    inputs: Annotated[Path | None, typer.Option(help=".npy, .npz, .csv or .tsv, for a model file.")] = None,
    expected: Annotated[Path | None, typer.Option(help="Its known answers, in such a file.")] = None,
    origin: Annotated[
        str, typer.Option("--from", help="What the metadata says it comes from; else the source's name.")
    ] = "",
    trees: Annotated[
        int | None, typer.Option(help="XGBoost, LightGBM: the boosting rounds that gave the answers.")
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(help="An answer whose last axis holds class scores: another argmax is a flip."),
    ] = None,
    profile: Annotated[str, typer.Option(help="portable or native.")] = "portable",
    graph_optimization: Annotated[
        str, typer.Option(help="onnxruntime's: disable, basic, extended or all.")
    ] = "basic",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out cases that can't be read, and list them.")
    ] = False,
    tag: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, kept in the metadata.")] = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.cli.archive_cmd import key_values
        from timeproof.engines.docker import connect
        from timeproof.importing.flow import Request, import_models
        from timeproof.store.layout import Archive

        if graph_optimization not in {"disable", "basic", "extended", "all"}:
            raise BadRequest(f"{graph_optimization!r} is no graph optimisation level")
        request = Request(
            source=source,
            grid_size=grid_size,
            environment=env,
            inputs=inputs,
            expected=expected,
            trees=trees,
            scores=scores or (),
            origin=origin,
            profile=profile,
            graph_optimization=graph_optimization,  # type: ignore[arg-type]  # checked above
            tags=key_values(tag, "tag", "KEY=VALUE"),
            skip_bad=skip_bad,
        )
        done = import_models(Archive(archive), request, connect, progress=progress)
        progress.close()
        if json:
            print_json(
                {
                    "imported": [str(r) for r in done.refs],
                    "there": [str(r) for r in done.there],
                    "skipped": [{"case": name, "reason": why} for name, why in done.skipped],
                    "notes": list(done.notes),
                }
            )
            return 0
        for name, why in done.skipped:
            out.print(f"[yellow]left out[/yellow] {escape(name)}: {escape(why)}")
        for note in done.notes:
            out.print(f"[yellow]note[/yellow] {escape(note)}")
        if done.there:
            out.print(f"{len(done.there)} were there already, the same to the byte")
        if done.refs:
            first, last = done.refs[0], done.refs[-1]
            span = str(first) if first == last else f"{first} to v{last.version}"
            out.print(
                f"[bold green]imported[/bold green] {len(done.refs)}: {span}; 'timeproof replay' runs them"
            )
        return 0

    run_command(json, work)
