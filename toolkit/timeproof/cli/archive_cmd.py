"""`timeproof archive`"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

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
from timeproof.cli.user_code import load, read_arrays
from timeproof.errors import BadRequest
from timeproof.store.layout import DEFAULT_ARCHIVE

NAME = "archive"
HELP = "Archive a model with its answers and its environment; seal it by replaying it twice."
EXAMPLES = """\
timeproof archive train.py --grid-size 8                     calls model_and_inputs() in train.py

timeproof archive train.py:cnn --grid-size 12                calls cnn(): it returns (model, inputs)

timeproof archive mypackage.train:forest -n 8 --tag run=42

timeproof archive train.py --grid-size 8 --prove-portable    says whether the answer holds on other CPUs

timeproof archive train.py:net -n 8 --threshold rounding=64

timeproof archive model.onnx --inputs x.npy --grid-size 8    an existing model file, never loaded here

timeproof archive model.onnx --inputs x.npy -n 8 --expected y.npy    refused where it answers otherwise

timeproof archive model.txt --inputs x.npy -n 8 --copy onnx=converted.onnx    how far is the conversion?
"""

_OPTIONS = ("init_args", "optimizer", "epoch", "format", "onnx", "graph_optimization")


def command(
    target: Annotated[str, typer.Argument(help="FILE.py[:FUNCTION], MODULE:FUNCTION, or a model file.")],
    grid_size: Annotated[str, typer.Option("--grid-size", "-n", help="Any positive whole number.")],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    inputs: Annotated[Path | None, typer.Option(help=".npy, .npz, .csv or .tsv, for a model file.")] = None,
    env: Annotated[
        str | None,
        typer.Option("--env", help="An environment of the archive, or a folder with a conda-lock.yml."),
    ] = None,
    python: Annotated[
        Path | None, typer.Option(help="Capture this interpreter instead (for a model file).")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave this distribution out of a capture.")
    ] = None,
    profile: Annotated[str, typer.Option(help="portable, native, or a .toml file of your own.")] = "portable",
    prove_portable: Annotated[
        bool,
        typer.Option(
            "--prove-portable", help="Also run it on simulated CPUs (slow), and record what moves there."
        ),
    ] = False,
    format: Annotated[
        str | None, typer.Option(help="json or ubj (XGBoost); text or json (LightGBM).")
    ] = None,
    graph_optimization: Annotated[
        str, typer.Option(help="onnxruntime's: disable, basic, extended or all.")
    ] = "basic",
    onnx: Annotated[bool, typer.Option(help="Also export a PyTorch model to ONNX.")] = True,
    witness: Annotated[
        str, typer.Option(help="A second reference, for other CPUs: auto, float64, emulated or none.")
    ] = "auto",
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NUMBER: a figure of the verdicts' scale, for this artifact."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, kept in the metadata.")] = None,
    copy: Annotated[
        list[str] | None,
        typer.Option(help="onnx=PATH: a conversion of the model, kept with its distance from it."),
    ] = None,
    expected: Annotated[
        Path | None, typer.Option(help="The answer that you know: .npy, .npz, .csv or .tsv.")
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(help="An output that holds class scores: there another argmax is another answer."),
    ] = None,
    keep_different: Annotated[
        bool,
        typer.Option(
            "--keep-different", help="Keep a model whose container answers otherwise than your process."
        ),
    ] = False,
    keep_inexact: Annotated[
        bool, typer.Option("--keep-inexact", help="Keep a copy that is further than rounding from the model.")
    ] = False,
    keep_random: Annotated[
        bool, typer.Option("--keep-random", help="Keep a model that draws random numbers: one seed's answer.")
    ] = False,
    keep_saturating: Annotated[
        bool, typer.Option("--keep-saturating", help="Keep int8 weights that saturate on a CPU without VNNI.")
    ] = False,
    engine: EngineOption = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.engines.registry import engine_named
        from timeproof.frameworks.base import SaveOptions
        from timeproof.sealing.flow import Request, archive_model
        from timeproof.store.layout import Archive, check_grid_size
        from timeproof.store.portability import promise

        number = check_grid_size(grid_size)
        tags = key_values(tag, "tag", "KEY=VALUE")
        if graph_optimization not in {"disable", "basic", "extended", "all"}:
            raise BadRequest(f"{graph_optimization!r} is no graph optimisation level")
        options = SaveOptions(
            format=format,
            onnx=onnx,
            graph_optimization=graph_optimization,  # type: ignore[arg-type]  # checked above
            keep_saturating=keep_saturating,
        )
        model, arrays, more = load(target, inputs)
        known = {k: v for k, v in more.items() if k in _OPTIONS}
        if unknown := set(more) - set(known) - {"tags"}:
            raise BadRequest(f"{target} gives {', '.join(sorted(unknown))}, which nobody knows")
        request = Request(
            model=model,
            inputs=arrays,
            grid_size=number,
            environment=env,
            python=interpreter(python),
            without=without or (),
            profile=profile,
            prove_portable=prove_portable,
            witness=witness,
            thresholds=dict(_threshold(t) for t in threshold or ()),
            tags={**more.get("tags", {}), **tags},
            options=replace(options, **known),
            copies=key_values(copy, "copy", "onnx=PATH"),
            expected=None if expected is None else read_arrays(expected),
            scores=scores or (),
            keep_different=keep_different,
            keep_inexact=keep_inexact,
            keep_random=keep_random,
        )
        done = archive_model(Archive(archive), request, partial(engine_named, engine), progress=progress)
        if json:
            print_json(
                {
                    "artifact": str(done.ref),
                    "path": str(done.path),
                    "own": None if done.own is None else str(done.own.verdict),
                    "remarks": list(done.remarks),
                    "metadata": done.metadata.model_dump(mode="json", by_alias=True),
                }
            )
            return 0
        out.print(f"[bold green]sealed[/bold green] {done.ref}  [dim]{escape(str(done.path))}[/dim]")
        if done.own is not None and not done.remarks:
            whose = "the expected answer" if expected is not None else "your process's own answer"
            out.print(f"  {whose}: identical")
        if done.own is None and not done.remarks:
            out.print("  [dim]no answer of your own was compared: hand one in with --expected[/dim]")
        for remark in done.remarks:
            out.print(f"  [yellow]{escape(remark)}[/yellow]")
        for made in done.metadata.copies:
            told = made.distance.get("summary") or made.distance.get("reason") or ""
            out.print(f"  {escape(made.name)} copy: {made.distance.get('verdict')}: {escape(str(told))}")
        if done.metadata.proofs:
            out.print(f"  {escape(done.metadata.profile.name)}: {escape(promise(done.metadata))}")
        for second in done.metadata.witnesses:
            distance = second.facts.get("distance")
            told = f": the answer {distance['summary']}" if distance else ""
            out.print(f"  {second.kind} witness{escape(told)}")
        for kept in done.metadata.kept:
            out.print(f"  [yellow]kept on request:[/yellow] {escape(kept)}")
        for note in [n for n in done.metadata.notes if n not in done.remarks]:
            out.print(f"  [yellow]note:[/yellow] {escape(note)}")
        return 0

    run_command(json, work)


def key_values(given: list[str] | None, what: str, form: str) -> dict[str, str]:
    """Read options of the form KEY=VALUE. Raises BadRequest."""
    found = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise BadRequest(f"the {what} {text!r} is not {form}")
        found[key] = value
    return found


def _threshold(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise BadRequest(f"the threshold {text!r} is not NAME=NUMBER", advice="such as rounding=64") from None
