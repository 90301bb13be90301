"""Archive what MLflow logs: `log_model` does both, `autolog` archives whatever MLflow's own functions log.

`import_folder` and `export_folder` read and write its model folders, and need no MLflow; the others import it
when they are called. The artifact's tags name the run and the logged model, whose own tags name the artifact
and the digest of its metadata.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from timeproof import api
from timeproof.base.digests import Digest
from timeproof.errors import BadRequest, NotArchivable, TimeproofError
from timeproof.store.layout import DEFAULT_ARCHIVE

if TYPE_CHECKING:
    from timeproof.base.progress import Progress
    from timeproof.exporting.flow import ExportedFolder
    from timeproof.importing.mlflow.flow import ImportedFolder
    from timeproof.sealing.flow import Archived

_LOG = logging.getLogger("timeproof")
# Framework → the module of MLflow that logs its models.
_FLAVORS = {
    **{name: name for name in ("pytorch", "xgboost", "lightgbm", "catboost", "onnx", "sklearn")},
    **{name: name for name in ("tensorflow", "transformers")},
    "keras": "tensorflow",
}
# What MLflow's flavors call the model, where they hand it to `Model.log`.
_MODELS = (
    "xgb_model", "lgb_model", "cb_model", "sk_model", "pytorch_model", "onnx_model", "transformers_model",
    "keras_model", "model",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Logged:
    """A model that was archived and logged: `archived` as of `timeproof.archive`, `info` is MLflow's own."""

    archived: Archived
    info: Any


@dataclass(slots=True)
class Autolog:
    """What `autolog` did so far: `archived`, and `failed`, with the name of each model and the reason.

    `stop()` ends it; as a context manager it ends with the block.
    """

    archived: list[Archived] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    restore: Callable[[], None] = field(default=lambda: None, repr=False)

    def stop(self) -> None:
        """Archive no more of what MLflow logs."""
        self.restore()

    def __enter__(self) -> Autolog:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def import_folder(
    folder: str | Path,
    *,
    grid_size: int,
    root: str | Path = DEFAULT_ARCHIVE,
    environment: str | Path | None = None,
    python: str | Path | None = None,
    flavor: str | None = None,
    inputs: str | Path | None = None,
    expected: str | Path | None = None,
    tags: Mapping[str, str] | None = None,
    engine: Literal["docker", "podman", "none"] | None = None,
    progress: Progress | None = None,
) -> ImportedFolder:
    """Seal the model of a folder that MLflow wrote, with its input example, in its own environment.

    Args:
        folder: it holds an `MLmodel` file. Nothing of it is imported or unpickled.
        environment: a name in the archive, or a folder with a conda-lock.yml; None locks the folder's own
            requirements, without MLflow.
        python: the interpreter for those requirements; None takes the nearest of this machine.
        flavor: which of several; None takes the model's own framework.
        inputs, expected: files (`.npy`, `.npz`, `.csv`, `.tsv`) instead of the example, and of known answers.

    Returns:
        ImportedFolder: `archived` as of `timeproof.archive`, or `earlier`, the artifact that the same files
        gave before; and `notes`.

    Raises:
        timeproof.errors.TimeproofError: each class says what to do; nothing was published.
    """
    from timeproof.base.progress import SILENT
    from timeproof.engines.registry import engine_named
    from timeproof.importing.mlflow.flow import Request
    from timeproof.importing.mlflow.flow import import_folder as run
    from timeproof.store.layout import Archive

    request = Request(
        source=Path(folder),
        grid_size=grid_size,
        environment=environment,
        python=None if python is None else Path(python),
        flavor=flavor,
        inputs=None if inputs is None else Path(inputs),
        expected=None if expected is None else Path(expected),
        tags=tags or {},
    )
    connect = functools.partial(engine_named, engine)
    return run(Archive(root), request, connect, progress=progress or SILENT)


def export_folder(
    ref: str, target: str | Path, *, root: str | Path = DEFAULT_ARCHIVE, copy: str = ""
) -> ExportedFolder:
    """Write an artifact as a folder that MLflow serves with the archived answer.

    Args:
        target: a folder that does not exist yet.
        copy: export this copy of the model (such as `onnx`) instead of the model itself.

    Raises:
        timeproof.errors.TimeproofError: `NotExportable` says what MLflow can't be told.
    """
    from timeproof.exporting.flow import export
    from timeproof.store.layout import Archive

    archive = Archive(root)
    return export(archive, archive.locate(ref), Path(target), copy=copy)


def log_model(
    model: Any,
    inputs: Any,
    *,
    grid_size: int,
    name: str = "model",
    root: str | Path = DEFAULT_ARCHIVE,
    tags: Mapping[str, str] | None = None,
    log_options: Mapping[str, Any] | None = None,
    **archive_options: Any,
) -> Logged:
    """Archive a model, then log it with MLflow, with the same inputs as its example.

    A model that does not seal is not logged. The run is the active one, or a new one, as in MLflow.

    Args:
        name: what MLflow calls the model.
        log_options: more for MLflow's `log_model`, such as `registered_model_name`.
        archive_options: as of `timeproof.archive`, such as `environment`.

    Raises:
        TimeproofError: as `timeproof.archive`; nothing was logged.
        BadRequest: MLflow is not installed, or has no flavor for such a model.
    """
    from timeproof.frameworks.choose import spec_for

    mlflow = _mlflow()
    spec = spec_for(model)
    if spec.name not in _FLAVORS:
        raise BadRequest(
            f"MLflow has no flavor for a model of {spec.title}",
            advice="archive it with timeproof.archive, and log the metadata file as an artifact of the run",
        )
    run = mlflow.active_run() or mlflow.start_run()
    all_tags = {"mlflow.run_id": run.info.run_id, **(tags or {})}
    archived = api.archive(model, inputs, grid_size=grid_size, root=root, tags=all_tags, **archive_options)
    flavor = importlib.import_module(f"mlflow.{_FLAVORS[spec.name]}")
    options = {"input_example": _example(inputs), **(log_options or {})}
    info = flavor.log_model(model, name=name, metadata={"timeproof": _facts(archived)}, **options)
    _tag_logged(mlflow, info, archived)
    return Logged(archived, info)


def autolog(
    *,
    grid_size: int,
    root: str | Path = DEFAULT_ARCHIVE,
    strict: bool = False,
    **archive_options: Any,
) -> Autolog:
    """Archive every model that MLflow logs from now on in this process, with its input example.

    That is what `mlflow.<flavor>.log_model` logs, and what MLflow's own autologging does. The live model is
    archived, so that a flavor which MLflow pickles is archived, too. Called again, it replaces the earlier
    call.

    Args:
        strict: raise where a model can't be archived; otherwise the logger `timeproof` says so, `failed`
            remembers it, and training goes on.
        archive_options: as of `timeproof.archive`, such as `environment`.

    Raises BadRequest: MLflow is not installed.
    """
    _mlflow()
    kind: Any = importlib.import_module("mlflow.models").Model
    current = kind.__dict__["log"]
    original = getattr(current.__func__, "logged_by", current)  # of an earlier call
    state = Autolog()

    @functools.wraps(original.__func__)
    def log(cls: Any, *words: Any, **named: Any) -> Any:
        info = original.__func__(cls, *words, **named)
        title = str(named.get("name") or named.get("artifact_path") or "model")
        try:
            state.archived.append(_archive_logged(info, named, grid_size, root, archive_options))
        except Exception as error:
            if strict:
                raise
            advice = f"; {error.advice}" if isinstance(error, TimeproofError) and error.advice else ""
            reason = f"{error}{advice}" if isinstance(error, TimeproofError) else repr(error)
            state.failed.append((title, reason))
            _LOG.warning("%s was logged, and not archived: %s", title, reason)
        return info

    log.logged_by = original  # type: ignore[attr-defined]  # found again by a later call
    kind.log = classmethod(log)

    def restore() -> None:
        if getattr(kind.__dict__["log"], "__func__", None) is log:
            kind.log = original

    state.restore = restore
    return state


def _archive_logged(
    info: Any, named: Mapping[str, Any], grid_size: int, root: str | Path, options: Mapping[str, Any]
) -> Archived:
    """Archive what was handed to `Model.log`. Raises NotArchivable, and what `timeproof.archive` raises."""
    model = next((named[key] for key in _MODELS if named.get(key) is not None), None)
    example = named.get("input_example")
    if model is None:
        raise NotArchivable(
            "MLflow logged a model of your own code",
            advice="archive the model that it holds: timeproof.archive(model, inputs, grid_size=…)",
        )
    if example is None:
        raise NotArchivable(
            "it was logged without an input example, so there is nothing to ask it",
            advice="log it with input_example=…; MLflow's autologging does with log_input_examples=True",
        )
    tags = {f"mlflow.{key}": getattr(info, key) for key in ("run_id", "model_id", "model_uuid")}
    more = dict(options)
    every = {**{key: str(value) for key, value in tags.items() if value}, **(more.pop("tags", None) or {})}
    archived = api.archive(model, example, grid_size=grid_size, root=root, tags=every, **more)
    _tag_logged(_mlflow(), info, archived)
    return archived


def _mlflow() -> Any:
    try:
        return importlib.import_module("mlflow")
    except ImportError as error:
        raise BadRequest(
            f"MLflow can't be imported: {error}", advice="install it in this environment: pip install mlflow"
        ) from error


def _example(inputs: Any) -> Any:
    """The inputs as MLflow takes an example: tensors as arrays."""
    if isinstance(inputs, (list, tuple)) and len(inputs) == 1:
        (inputs,) = inputs
    if isinstance(inputs, Mapping):
        return {key: _example(value) for key, value in inputs.items()}
    return inputs.detach().cpu().numpy() if hasattr(inputs, "detach") else inputs


def _facts(archived: Archived) -> dict[str, str]:
    """What the logged model says of the artifact."""
    return {
        "artifact": str(archived.ref),
        "metadata_sha256": Digest.of(archived.path.read_bytes()).hex,
        "environment": archived.metadata.environment.name,
        "lock_sha256": archived.metadata.environment.lock_sha256,
    }


def _tag_logged(mlflow: Any, info: Any, archived: Archived) -> None:
    """Name the artifact in the logged model's own tags, or in the run's where MLflow has no logged models."""
    facts = {f"timeproof.{key}": value for key, value in _facts(archived).items()}
    if getattr(info, "model_id", None) and hasattr(mlflow, "set_logged_model_tags"):
        mlflow.set_logged_model_tags(info.model_id, facts)
    elif getattr(info, "run_id", None):
        for key, value in facts.items():
            mlflow.MlflowClient().set_tag(info.run_id, key, value)
