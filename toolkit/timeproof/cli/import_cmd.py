"""`timeproof import`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.importing.flow import Imported

NAME = "import"
HELP = (
    "Import other people's models with their known answers as the reference. Nothing runs, nothing is sealed."
)
EXAMPLES = """\
timeproof import onnx/backend/test/data --grid-size 1 --env lockfiles/digits    a tree of ONNX's cases

timeproof import zoo/resnet18 -n 224 --env digits --from "ONNX model zoo"       model.onnx, test_data_set_0/ …

timeproof import model.txt --inputs x.csv --expected y.csv -n 8 --env lockfiles/digits

timeproof import model.onnx --inputs x.npz --expected y.npz -n 8 --env digits   the graph's own names

timeproof import model.ubj --inputs x.npy --expected y.npz --trees 50 -n 8 --env digits   its first 50 rounds
"""


def command(
    source: Annotated[Path, typer.Argument(help="A folder of ONNX's cases, or a model file.")],
    grid_size: Annotated[
        str, typer.Option("--grid-size", "-n", help="The grid size: any positive whole number.")
    ],
    env: Annotated[
        str,
        typer.Option(
            "--env",
            help="The environment to replay it in: one of the archive, or a folder with a conda-lock.yml.",
        ),
    ],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    inputs: Annotated[Path | None, typer.Option(help=".npy, .npz, .csv or .tsv, for a model file.")] = None,
    expected: Annotated[
        Path | None, typer.Option(help="The known answers, in a file of the same kinds.")
    ] = None,
    origin: Annotated[
        str,
        typer.Option("--from", help="The origin that the metadata records; by default the source's name."),
    ] = "",
    trees: Annotated[
        int | None, typer.Option(help="XGBoost, LightGBM: the boosting rounds that gave the answers.")
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            help="An answer that holds class scores: a changed argmax counts as another class. Repeatable."
        ),
    ] = None,
    profile: Annotated[str, typer.Option(help="portable or native.")] = "portable",
    graph_optimization: Annotated[
        str, typer.Option(help="onnxruntime's: disable, basic, extended or all.")
    ] = "basic",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out the cases that can't be read, and list them.")
    ] = False,
    tag: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE, stored in the metadata. Repeatable.")
    ] = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.cli.archive_cmd import key_values
        from timeproof.engines.docker import connect
        from timeproof.frameworks.options import FrameworkOptions
        from timeproof.importing.flow import Request, import_models
        from timeproof.store.remote.writable import open_to_write

        options = FrameworkOptions(graph_optimization=graph_optimization)  # type: ignore[arg-type]  # it checks that
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
            graph_optimization=options.graph_optimization,
            tags=key_values(tag, "tag", "KEY=VALUE"),
            skip_bad=skip_bad,
        )
        target = open_to_write(archive, progress=progress)
        imported = import_models(target, request, connect, progress=progress)
        progress.close()
        if json:
            print_json(
                {
                    "imported": [str(r) for r in imported.refs],
                    "there": [str(r) for r in imported.there],
                    "skipped": [{"case": name, "reason": reason} for name, reason in imported.skipped],
                    "notes": list(imported.notes),
                }
            )
        else:
            _print(imported)
        return 0

    run_command(json, work)


def _print(imported: Imported) -> None:
    for name, reason in imported.skipped:
        out.print(f"[yellow]left out[/yellow] {escape(name)}: {escape(reason)}")
    for note in imported.notes:
        out.print(f"[yellow]note[/yellow] {escape(note)}")
    if imported.there:
        out.print(f"the archive had {len(imported.there)} already, the same to the byte")
    if imported.refs:
        first, last = imported.refs[0], imported.refs[-1]
        span = str(first) if first == last else f"{first} to v{last.version}"
        out.print(
            f"[bold green]imported[/bold green] {len(imported.refs)}: {span}; 'timeproof replay' runs them"
        )
