"""`timeproof export`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from timeproof.cli.console import (
    ArchiveOption,
    JsonOption,
    TerminalProgress,
    open_existing,
    out,
    print_json,
    run_command,
)
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.exporting.flow import ExportedFolder

NAME = "export"
HELP = "Write an artifact as a model folder of MLflow, which then gives the archived answer. Nothing runs."
EXAMPLES = """\
timeproof export grid-size-8/xgboost/v1 --format mlflow --to forest

timeproof export grid-size-8/pytorch/v1 --format mlflow --to net --copy onnx    its ONNX copy

mlflow models predict -m forest -i forest/serving_input_example.json -t json --env-manager local
"""


def command(
    ref: Annotated[str, typer.Argument(help="An artifact, such as grid-size-8/xgboost/v1.")],
    to: Annotated[Path, typer.Option("--to", help="The folder to write; it must not exist yet.")],
    format: Annotated[str, typer.Option(help="mlflow.")] = "mlflow",
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    copy: Annotated[
        str, typer.Option(help="Export this copy of the model, such as onnx, instead of the model itself.")
    ] = "",
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.exporting.flow import export

        opened = open_existing(archive, progress)
        exported = export(opened, opened.locate(ref), to, form=format, copy=copy, progress=progress)
        progress.close()
        if json:
            print_json(_as_json(exported))
        else:
            _print(exported)
        return 0

    run_command(json, work)


def _as_json(exported: ExportedFolder) -> dict[str, Any]:
    return {
        "artifact": str(exported.ref),
        "path": str(exported.path),
        "flavor": exported.flavor,
        "output": exported.output or None,
        "column": exported.column,
        "copy": exported.copy or None,
    }


def _print(exported: ExportedFolder) -> None:
    title = f"the {exported.copy} copy of {exported.ref}" if exported.copy else str(exported.ref)
    out.print(
        f"[bold green]exported[/bold green] {escape(title)} to {escape(str(exported.path))}"
        f" (flavor {exported.flavor})"
    )
    if not exported.output:
        answer = "all outputs, by their names"
    elif exported.column is None:
        answer = f"the output {exported.output}"
    else:
        answer = f"column {exported.column} of the output {exported.output}"
    out.print(f"  MLflow's predict gives {escape(answer)}")
