"""`timeproof import`"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from timeproof.cli.console import (
    ArchiveOption,
    EngineOption,
    JsonOption,
    TerminalProgress,
    interpreter,
    out,
    print_json,
    run_command,
)
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.frameworks.options import GraphOptimization
    from timeproof.importing.flow import Imported
    from timeproof.importing.mlflow.flow import ImportedFolder

NAME = "import"
HELP = (
    "Import other people's models with their known answers as the reference: nothing runs, nothing is sealed."
    " Or import a model folder of MLflow, which is sealed with its input example, in its own environment."
)
EXAMPLES = """\
timeproof import onnx/backend/test/data --grid-size 1 --env lockfiles/digits    a tree of ONNX's cases

timeproof import zoo/resnet18 -n 224 --env digits --from "ONNX model zoo"       model.onnx, test_data_set_0/ …

timeproof import model.txt --inputs x.csv --expected y.csv -n 8 --env lockfiles/digits

timeproof import model.onnx --inputs x.npz --expected y.npz -n 8 --env digits   the graph's own names

timeproof import mlruns/1/models/m-3f/artifacts -n 8                            a model folder of MLflow

timeproof import mlflow_model -n 8 --env digits --expected y.npy                refused for other answers

timeproof import model.ubj --inputs x.npy --expected y.npz --trees 50 -n 8 --env digits   its first 50 rounds
"""


def command(
    source: Annotated[
        Path, typer.Argument(help="A folder of ONNX's cases, a model file, or a model folder of MLflow.")
    ],
    grid_size: Annotated[
        str, typer.Option("--grid-size", "-n", help="The grid size: any positive whole number.")
    ],
    env: Annotated[
        str | None,
        typer.Option(
            "--env",
            help="The environment to replay it in: one of the archive, or a folder with a conda-lock.yml."
            " MLflow: by default one that is locked from the folder's requirements.",
        ),
    ] = None,
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    python: Annotated[
        Path | None,
        typer.Option(help="MLflow: lock the folder's requirements for this interpreter."),
    ] = None,
    flavor: Annotated[
        str | None, typer.Option(help="MLflow: the flavor to archive, where the folder has several.")
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(help=".npy, .npz, .csv or .tsv, for a model file, or instead of MLflow's example."),
    ] = None,
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
    engine: EngineOption = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.cli.archive_cmd import key_values
        from timeproof.engines.docker import connect
        from timeproof.errors import BadRequest
        from timeproof.frameworks.options import FrameworkOptions
        from timeproof.importing.flow import Request, import_models
        from timeproof.importing.mlflow.flow import is_model_folder
        from timeproof.store.remote.writable import open_to_write

        options = FrameworkOptions(graph_optimization=graph_optimization)  # type: ignore[arg-type]  # it checks that
        if is_model_folder(source):
            return import_mlflow(options.graph_optimization, progress)
        _refuse({"--python": python, "--flavor": flavor}, "is for model folders of MLflow")
        if env is None:
            raise BadRequest(
                f"{source} is no model folder of MLflow, which would name its own environment",
                advice="add --env: an environment of the archive, or a folder with a conda-lock.yml",
            )
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

    def import_mlflow(level: GraphOptimization, progress: TerminalProgress) -> int:
        from functools import partial

        from timeproof.cli.archive_cmd import key_values
        from timeproof.engines.registry import engine_named
        from timeproof.importing.mlflow.flow import Request, import_folder
        from timeproof.store.remote.writable import open_to_write

        absent = {"--trees": trees, "--skip-bad": skip_bad or None, "--from": origin or None}
        _refuse(absent, "is not for model folders of MLflow")
        request = Request(
            source=source,
            grid_size=grid_size,
            environment=env,
            python=interpreter(python),
            flavor=flavor,
            inputs=inputs,
            expected=expected,
            scores=scores or (),
            profile=profile,
            graph_optimization=level,
            tags=key_values(tag, "tag", "KEY=VALUE"),
        )
        target = open_to_write(archive, progress=progress)
        imported = import_folder(target, request, partial(engine_named, engine), progress=progress)
        progress.close()
        _print_folder(imported, as_json=json, expected=expected is not None)
        return 0

    run_command(json, work)


def _refuse(options: Mapping[str, object], reason: str) -> None:
    """Raise BadRequest for the first of these options that was given."""
    from timeproof.errors import BadRequest

    for option, value in options.items():
        if value is not None:
            raise BadRequest(f"{option} {reason}", advice=f"leave {option} out")


def _print_folder(imported: ImportedFolder, *, as_json: bool, expected: bool) -> None:
    from timeproof.cli.render.archived import archived_json, print_archived

    archived, earlier = imported.archived, imported.earlier
    if as_json:
        print_json(
            {
                "imported": [] if archived is None else [str(archived.ref)],
                "there": [] if earlier is None else [str(earlier)],
                "skipped": [],
                "notes": list(imported.notes),
                "sealed": None if archived is None else archived_json(archived),
            }
        )
    elif archived is not None:
        print_archived(archived, expected=expected)
    else:
        out.print(f"the archive had it already, from the same files: {earlier}")


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
