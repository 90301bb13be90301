"""The Python interface: `timeproof.archive` and `timeproof.replay`. Everything heavy is imported late."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.base.progress import Progress
    from timeproof.frameworks.options import FrameworkOptions
    from timeproof.importing.flow import Imported
    from timeproof.replaying.flow import Result
    from timeproof.sealing.flow import Archived

_LOG = logging.getLogger("timeproof")


def archive(
    model: Any,
    inputs: Any,
    *,
    grid_size: int,
    root: str | Path = DEFAULT_ARCHIVE,
    environment: str | Path | None = None,
    without: Sequence[str] = (),
    options: FrameworkOptions | None = None,
    profile: str | Path = "portable",
    prove_portable: bool = False,
    witness: Literal["auto", "float64", "emulated", "none"] = "auto",
    thresholds: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
    copies: Mapping[str, object] | None = None,
    expected: Any = None,
    scores: Sequence[str] = (),
    keep_different: bool = False,
    keep_inexact: bool = False,
    keep_random: bool = False,
    keep_saturating: bool = False,
    engine: Literal["docker", "podman", "none"] | None = None,
    progress: Progress | None = None,
    **unknown: object,
) -> Archived:
    """Archive a model with its answers and its environment; it is published only once it has replayed.

    Args:
        model: a torch.nn.Module, a torch.export program, a TorchScript module, an XGBoost or LightGBM Booster
            or wrapper, an onnx.ModelProto, or the `pathlib.Path` of a model file.
        inputs: what your own call takes: one array, several in order (passed by position, as in
            `model(*inputs)`), or a mapping (passed by name, as in `model(**inputs)`); for trees a DataFrame
            (pandas, Polars, Arrow), a sparse matrix or a DMatrix, too; for an exported program None: its own.
        grid_size: any positive whole number; part of where the artifact lies.
        root: the archive's folder, or its address: `s3://bucket/models`.
        environment: None captures this process's own; or the name of one in the archive; or a folder
            with a conda-lock.yml.
        without: distributions to leave out of a captured environment.
        options: what the model's framework alone is told, in its own record:
            `timeproof.frameworks.pytorch.PyTorchOptions` (`init_args`, `optimizer`, `epoch`, `onnx`,
            `safetensors`, `model_class`),
            `xgboost.XGBoostOptions`, `lightgbm.LightGBMOptions`, `onnx.OnnxOptions`, or a plugin's. All have
            `format`, and `graph_optimization` for graphs and copies.
        profile: the numeric settings in the container: `portable`, `native`, or a .toml file of your own.
        prove_portable: also run it on simulated CPUs (5 to 90 times slower), and record what moved.
        witness: a second reference for other CPUs. `auto` records raw margins for trees, and float64 for
            PyTorch and ONNX where it can be had in seconds.
        thresholds: figures of the scale for this artifact, such as `{"rounding": 64}` (docs/numerics.md).
        tags: your own.
        copies: conversions of the model that you made, by format (`onnx`, `pmml`, `pfa`):
            `{"onnx": Path("model.onnx")}`. The container runs them on the same inputs, and the metadata
            says how far each is from the model.
        expected: the answer that you know: arrays by the outputs' names, or one array. What the container
            gives must agree with it, as with what this process answers.
        scores: outputs whose last axis holds class scores, where another argmax is another answer; by
            default the model or the output's shape says so.
        keep_different: keep a model whose container answers otherwise than this process, and mark it.
        keep_inexact: keep a copy that is further than rounding from the model, and mark it.
        keep_random: keep a model that draws random numbers, with one seed's answer, and mark it.
        keep_saturating: keep int8 weights that a CPU without VNNI adds up otherwise, and mark them.
        engine: what seals it; None takes what answers at a Docker socket. Images are built with Docker.

    Returns:
        Archived: `ref` (prints as `grid-size-8/pytorch/v1`), `metadata`, the metadata's `path`, and `own`:
            how far the container's answer is from this process's. Where they are not identical, the
            logger `timeproof` says so.

    Raises:
        timeproof.errors.TimeproofError: each class says what to do; nothing was published.
        TypeError: a keyword that there is not; of one that an options record has, the message says which.
    """
    from timeproof.base.progress import SILENT
    from timeproof.engines.registry import engine_named
    from timeproof.frameworks.base import SaveOptions
    from timeproof.frameworks.options import FrameworkOptions
    from timeproof.sealing.flow import Request, archive_model
    from timeproof.store.remote.writable import open_to_write

    if unknown:
        raise _unexpected(model, unknown)
    request = Request(
        model=model,
        inputs=inputs,
        grid_size=grid_size,
        environment=environment,
        without=without,
        profile=profile,
        prove_portable=prove_portable,
        witness=witness,
        thresholds=thresholds or {},
        tags=tags or {},
        options=SaveOptions(options or FrameworkOptions(), keep_saturating=keep_saturating),
        copies=copies or {},
        expected=expected,
        scores=scores,
        keep_different=keep_different,
        keep_inexact=keep_inexact,
        keep_random=keep_random,
    )
    report = progress or SILENT
    target = open_to_write(root, progress=report)
    done = archive_model(target, request, partial(engine_named, engine), progress=report)
    for remark in done.remarks:
        _LOG.warning("%s: %s", done.ref, remark)
    return done


def _unexpected(model: object, unknown: Mapping[str, object]) -> TypeError:
    """Say that `archive` has no such keyword; where a framework's options have it, say how it is given."""
    from timeproof.errors import TimeproofError
    from timeproof.frameworks.choose import spec_for_either
    from timeproof.frameworks.registry import specs

    name = min(unknown)
    message = f"archive() got an unexpected keyword argument {name!r}"
    try:
        candidates = [spec_for_either(model)]
    except TimeproofError:
        candidates = list(specs())
    kinds = [spec.options for spec in candidates if name in spec.options.model_fields]
    if not kinds:
        return TypeError(message)
    spelling = f"options={kinds[0].__name__}({name}=…)"
    return TypeError(f"{message}: write {spelling}, from {kinds[0].__module__.rpartition('.')[0]}")


def import_models(
    source: str | Path,
    *,
    grid_size: int,
    environment: str | Path,
    inputs: str | Path | None = None,
    expected: str | Path | None = None,
    trees: int | None = None,
    scores: Sequence[str] = (),
    origin: str = "",
    root: str | Path = DEFAULT_ARCHIVE,
    graph_optimization: Literal["disable", "basic", "extended", "all"] = "basic",
    profile: Literal["portable", "native"] = "portable",
    tags: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Take in other people's models with their own answers as the reference. Nothing runs; nothing is sealed.

    Args:
        source: a tree of ONNX's cases (`model.onnx`, `test_data_set_0/input_0.pb`, `output_0.pb`), or a
            model file (.onnx, LightGBM's .txt, XGBoost's .json or .ubj).
        grid_size: any positive whole number; part of where the artifacts lie.
        environment: where they are replayed by default: a name in the archive, or a lock's folder.
        inputs, expected: with a model file, `.npy`, `.npz`, `.csv` or `.tsv`.
        trees: of XGBoost and LightGBM, how many boosting rounds gave the answers; None: all.
        scores: names of answers whose last axis holds class scores, where another argmax is a flip.
        origin: what the metadata says that they come from; the source's own name by default.
        root: the archive's folder, or its address: `s3://bucket/models`.
        graph_optimization: of onnxruntime.
        profile: the numeric settings in the container.
        tags: your own; a case's name is added as `case`.
        skip_bad: leave out cases that can't be read, instead of importing none.

    Returns:
        Imported: `refs` that were published, `there` before, `skipped` with the reasons, and `notes` on what
        was done to the arrays.

    Raises:
        timeproof.errors.TimeproofError: NotImportable names every file that can't be read.
    """
    from timeproof.base.progress import SILENT
    from timeproof.engines.docker import connect
    from timeproof.importing.flow import Request
    from timeproof.importing.flow import import_models as run
    from timeproof.store.remote.writable import open_to_write

    request = Request(
        source=Path(source),
        grid_size=grid_size,
        environment=environment,
        inputs=None if inputs is None else Path(inputs),
        expected=None if expected is None else Path(expected),
        trees=trees,
        scores=scores,
        origin=origin,
        profile=profile,
        graph_optimization=graph_optimization,
        tags=tags or {},
        skip_bad=skip_bad,
    )
    report = progress or SILENT
    return run(open_to_write(root, progress=report), request, connect, progress=report)


def replay(
    ref: str | Iterable[str] | None = None,
    *,
    root: str | Path = DEFAULT_ARCHIVE,
    image: Literal["auto", "ready", "registry", "rebuild", "stored"] = "auto",
    registry: str = "",
    profile: str | Path | None = None,
    engine: Literal["docker", "podman", "none"] | None = None,
    explain: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Run artifacts again in their own environment, without a network, and compare the answers.

    Args:
        ref: `grid-size-8/pytorch/v1`, or without the version for the newest; several; None for all.
        root: the archive's folder, or an address such as `s3://bucket/models`.
        image: `auto` takes the engine's, else pulls from `registry`, else rebuilds, else loads the stored
            copy; `ready` is the same, and builds nothing; `registry`, `rebuild` and `stored` insist.
        registry: `HOST/NAME` of an OCI registry; images are pulled from it by digest.
        profile: other numeric settings than the recorded ones.
        engine: None takes what answers at a Docker socket; `podman` needs no daemon; `none` is a weaker
            sandbox of the kernel's own, and says so in the notes. Both take the stored copy of the image.
        explain: run what differs in further ways, too: `tried` says which one restores it.

    Returns:
        Result: `passes()` is True where every answer is the recorded one, bit for bit, or, on another CPU,
        its witness's is (`passes(strict=True)` takes no witness); `replayed` has a verdict and the
        difference for each. Differing outputs are a result, never an exception.

    Raises:
        timeproof.errors.TimeproofError: no such artifact, or the engine failed.
    """
    from timeproof.base.progress import SILENT
    from timeproof.engines.registry import engine_named
    from timeproof.replaying.flow import replay as run
    from timeproof.runs.profiles import profile_named
    from timeproof.store.remote.mirror import open_archive

    archive = open_archive(root, progress=progress or SILENT)
    archive.require()
    if ref is None:
        refs = list(archive.refs())
    else:
        refs = [archive.locate(r) for r in ([ref] if isinstance(ref, str) else ref)]
    return run(
        archive,
        refs,
        engine_named(engine),
        image=image,
        registry=registry,
        profile=profile_named(profile) if profile else None,
        tries=explain,
        progress=progress or SILENT,
    )
