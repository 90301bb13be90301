"""`timeproof archive`"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from timeproof.cli.console import (
    ArchiveOption,
    EngineOption,
    JsonOption,
    TerminalProgress,
    interpreter,
    print_json,
    run_command,
)
from timeproof.cli.user_code import class_flags, load, read_arrays
from timeproof.errors import BadRequest

if TYPE_CHECKING:
    from timeproof.frameworks.options import FrameworkOptions
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.frameworks.options import FrameworkOptions

NAME = "archive"
HELP = "Archive a model with its outputs and its environment, and seal it by replaying it twice."
EXAMPLES = """\
timeproof archive train.py --grid-size 8                     calls model_and_inputs() in train.py

timeproof archive train.py:cnn --grid-size 12                calls cnn(): it returns (model, inputs)

timeproof archive mypackage.train:forest -n 8 --tag run=42

timeproof archive train.py --grid-size 8 --prove-portable    records which outputs hold on other CPUs

timeproof archive train.py:net -n 8 --threshold rounding=64

timeproof archive model.onnx --inputs x.npy --grid-size 8    a model file; only the container loads it

timeproof archive model.onnx --inputs x.npy -n 8 --expected y.npy    refused if the model gives other outputs

timeproof archive program.pt2 --grid-size 8                  an exported program, with its own sample inputs

timeproof archive weights.safetensors --class net.py:Net --init-args '{"width": 8}' --inputs x.npy -n 8

timeproof archive model.txt --inputs x.npy -n 8 --copy onnx=converted.onnx    measures your conversion
"""


def command(
    target: Annotated[
        str, typer.Argument(help="FILE.py[:FUNCTION], MODULE:FUNCTION, or a model file or folder.")
    ],
    grid_size: Annotated[
        str, typer.Option("--grid-size", "-n", help="The grid size: any positive whole number.")
    ],
    archive: ArchiveOption = DEFAULT_ARCHIVE,
    inputs: Annotated[Path | None, typer.Option(help=".npy, .npz, .csv or .tsv, for a model file.")] = None,
    env: Annotated[
        str | None,
        typer.Option("--env", help="An environment of the archive, or a folder with a conda-lock.yml."),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(help="For a model file: capture this interpreter instead of the running one."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave this distribution out of the capture. Repeatable.")
    ] = None,
    profile: Annotated[str, typer.Option(help="portable, native, or your own .toml file.")] = "portable",
    prove_portable: Annotated[
        bool,
        typer.Option(
            "--prove-portable",
            help="Also run the model on simulated CPUs (slow), and record what changes there.",
        ),
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(help="json or ubj (XGBoost); text or json (LightGBM); keras or saved_model (Keras)."),
    ] = None,
    signature: Annotated[
        str | None, typer.Option(help="Of a SavedModel folder: the signature that answers.")
    ] = None,
    graph_optimization: Annotated[
        str, typer.Option(help="onnxruntime's: disable, basic, extended or all.")
    ] = "basic",
    onnx: Annotated[
        bool, typer.Option(help="Also export a PyTorch, Keras or TensorFlow model to ONNX.")
    ] = True,
    safetensors: Annotated[
        bool, typer.Option(help="Also write a PyTorch model's weights as .safetensors.")
    ] = True,
    model_class: Annotated[
        str | None,
        typer.Option("--class", help="MODULE:CLASS or FILE.py:CLASS, for a .safetensors file; not imported."),
    ] = None,
    init_args: Annotated[
        str | None, typer.Option(help="What that class is built with: a JSON object.")
    ] = None,
    pmml: Annotated[
        bool | None,
        typer.Option(help="A PMML copy of a tree model; by default where it has at most 10,000 nodes."),
    ] = None,
    pfa: Annotated[bool, typer.Option("--pfa", help="A PFA copy of a tree model.")] = False,
    witness: Annotated[
        str, typer.Option(help="A second reference for other CPUs: auto, float64, emulated or none.")
    ] = "auto",
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NUMBER: another threshold between verdicts, for this artifact. Repeatable."),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE, stored in the metadata. Repeatable.")
    ] = None,
    copy: Annotated[
        list[str] | None,
        typer.Option(
            help="onnx=PATH, pmml=PATH or pfa=PATH: your conversion, stored with its distance from the model."
        ),
    ] = None,
    expected: Annotated[
        Path | None, typer.Option(help="The outputs that you expect: .npy, .npz, .csv or .tsv.")
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            help="An output that holds class scores: a changed argmax counts as another class. Repeatable."
        ),
    ] = None,
    keep_different: Annotated[
        bool,
        typer.Option(
            "--keep-different",
            help="Keep a model that gives other outputs in the container than in your process.",
        ),
    ] = False,
    keep_inexact: Annotated[
        bool, typer.Option("--keep-inexact", help="Keep a copy that is further than rounding from the model.")
    ] = False,
    keep_random: Annotated[
        bool,
        typer.Option(
            "--keep-random", help="Keep a model that draws random numbers, with the outputs of one seed."
        ),
    ] = False,
    keep_saturating: Annotated[
        bool,
        typer.Option(
            "--keep-saturating", help="Keep int8 weights whose sums saturate on a CPU without VNNI."
        ),
    ] = False,
    engine: EngineOption = None,
    json: JsonOption = False,
) -> None:
    def work(progress: TerminalProgress) -> int:
        from timeproof.cli.render.archived import archived_json, print_archived
        from timeproof.engines.registry import engine_named
        from timeproof.frameworks.base import SaveOptions
        from timeproof.sealing.flow import Request, archive_model
        from timeproof.store.layout import check_grid_size
        from timeproof.store.remote.writable import open_to_write

        number = check_grid_size(grid_size)
        tags = key_values(tag, "tag", "KEY=VALUE")
        copies = key_values(copy, "copy", "FORMAT=PATH")
        thresholds = dict(_threshold(t) for t in threshold or ())
        known_outputs = None if expected is None else read_arrays(expected)
        model, arrays, extras = load(target, inputs)
        flags = {
            "format": format,
            "signature": signature,
            "onnx": onnx,
            "graph_optimization": graph_optimization,
            "safetensors": safetensors,
            **class_flags(model_class, init_args),
            "pmml": pmml,
            "pfa": pfa,
        }
        own_options = {key: value for key, value in extras.items() if key != "tags"}
        options = framework_options(target, model, flags, own_options)
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
            thresholds=thresholds,
            tags={**extras.get("tags", {}), **tags},
            options=SaveOptions(options, keep_saturating=keep_saturating),
            copies=copies,
            expected=known_outputs,
            scores=scores or (),
            keep_different=keep_different,
            keep_inexact=keep_inexact,
            keep_random=keep_random,
        )
        place = open_to_write(archive, progress=progress)
        archived = archive_model(place, request, partial(engine_named, engine), progress=progress)
        if json:
            print_json(archived_json(archived))
        else:
            print_archived(archived, expected=expected is not None)
        return 0

    run_command(json, work)


def framework_options(
    target: str, model: object, flags: Mapping[str, object], extras: Mapping[str, object]
) -> FrameworkOptions:
    """Build the options record of the model's framework.

    Args:
        flags: the command line's options; those that the framework's record does not have are ignored.
        extras: what the user's function returns beside the model: fields of the record, or the whole record
            as `options`. They take precedence over the flags.

    Raises BadRequest.
    """
    from timeproof.frameworks.choose import spec_for_either
    from timeproof.frameworks.options import FrameworkOptions

    if isinstance(record := extras.get("options"), FrameworkOptions):
        flags, extras = dict(record), {name: value for name, value in extras.items() if name != "options"}
    spec = spec_for_either(model)
    fields = spec.options.model_fields
    if unknown := sorted(set(extras) - set(fields)):
        raise BadRequest(
            f"{target} returns unknown keys with its {spec.title} model: {', '.join(unknown)}",
            advice=f"beside the model, the inputs and tags it may return: {', '.join(fields)}",
        )
    values: dict[str, Any] = {name: flags[name] for name in fields if name in flags} | dict(extras)
    return spec.options(**values)


def key_values(options: list[str] | None, title: str, form: str) -> dict[str, str]:
    """Read options of the form KEY=VALUE. Raises BadRequest.

    Args:
        title: the name of such an option, for messages.
        form: the form that it should have, for messages.
    """
    pairs = {}
    for text in options or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise BadRequest(f"the {title} {text!r} is not {form}")
        pairs[key] = value
    return pairs


def _threshold(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise BadRequest(f"the threshold {text!r} is not NAME=NUMBER", advice="such as rounding=64") from None
