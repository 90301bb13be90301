"""Import an MLflow folder: its model file, asked with its example, is sealed in a container.

Unlike models that come with somebody's answers, it is archived as `timeproof.archive` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timeproof.base.digests import Digest
from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Engine
from timeproof.errors import BadArchive, BadRequest, NotFound, NotImportable
from timeproof.frameworks import array_files
from timeproof.frameworks.base import SaveOptions
from timeproof.frameworks.imports import BadData, importer_of
from timeproof.frameworks.options import GraphOptimization
from timeproof.frameworks.trees.features import add_columns
from timeproof.importing.mlflow.environment import check_holds, environment_of
from timeproof.importing.mlflow.example import Example, read_example
from timeproof.importing.mlflow.flavors import FlavoredModel, model_of
from timeproof.importing.mlflow.folder import MLMODEL, ModelFolder, quoted
from timeproof.importing.mlflow.gathering import gathered
from timeproof.importing.mlflow.requirements import read_wanted
from timeproof.runs.environment_provider import check_choice, choose
from timeproof.sealing.flow import Archived, archive_model
from timeproof.sealing.flow import Request as SealRequest
from timeproof.store.layout import Archive, Ref, check_grid_size
from timeproof.store.read import read_metadata
from timeproof.store.schema.v1 import EnvironmentRecord, Metadata

_SOURCE = "mlflow.import_sha256"  # the tag that tells two imports of the same files


@dataclass(frozen=True, slots=True)
class Request:
    """What to import, and how. `source` is a folder with an MLmodel file."""

    source: Path
    grid_size: object
    environment: str | Path | None = None  # None: the folder's own requirements
    python: Path | None = None  # the interpreter for those; None: the nearest of this machine
    flavor: str | None = None  # None: the model's own framework
    inputs: Path | None = None  # None: the folder's example
    expected: Path | None = None  # answers that the container's must agree with
    scores: Sequence[str] = ()
    profile: str | Path = "portable"
    graph_optimization: GraphOptimization = "basic"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportedFolder:
    """What became of it: `archived` where it was sealed now, `earlier` where the archive had it already."""

    archived: Archived | None
    earlier: Ref | None
    notes: tuple[str, ...]


def is_model_folder(path: Path) -> bool:
    """Whether a path is a folder that MLflow wrote."""
    return path.is_dir() and (path / MLMODEL).exists()


def import_folder(
    archive: Archive, request: Request, connect: Callable[[], Engine], *, progress: Progress = SILENT
) -> ImportedFolder:
    """Seal the model of an MLflow folder, with its example as the inputs, in its own environment.

    Args:
        connect: gives a new connection to the engine.

    Raises:
        BadGridSize / BadRequest / NotImportable: nothing was built.
        BadEnvironment: its requirements can't be locked or built.
        SealFailed: the model does not replay, or not to the expected answers; nothing was published.
    """
    grid_size = check_grid_size(request.grid_size)
    archive.check_place()
    if request.python is not None and request.environment is not None:
        raise BadRequest("an environment and an interpreter are both named", advice="name one of them")
    check_choice(archive, request.environment)
    progress.step(f"Reading {request.source}")
    folder = ModelFolder.read(request.source)
    model = model_of(folder, request.flavor)
    question = _question(folder, model, request.inputs)
    expected = None if request.expected is None else _read_arrays(request.expected)
    wanted = read_wanted(folder) if request.environment is None else None

    if wanted is not None:
        environment, notes = environment_of(archive, folder, wanted, request.python, connect, progress)
    else:
        environment, notes = _named(archive, request, connect, progress), ()
    check_holds(environment, model.spec, folder)
    notes = (_origin(folder, model, question), *model.notes, *question.notes, *notes)
    source = _source(folder, model, question, request)
    if earlier := _earlier(archive, grid_size, model.spec.name, source, environment):
        return ImportedFolder(None, earlier, notes)
    options = model.spec.options(graph_optimization=request.graph_optimization)
    with gathered(folder, model) as path:
        seal = SealRequest(
            model=path,
            inputs=question.inputs,
            grid_size=grid_size,
            environment=environment.folder,
            profile=request.profile,
            tags={**_facts(folder, model), **request.tags, _SOURCE: source},
            options=SaveOptions(options),
            expected=expected,
            scores=request.scores,
            notes=notes,
        )
        archived = archive_model(archive, seal, connect, progress=progress)
    return ImportedFolder(archived, None, notes)


@dataclass(frozen=True, slots=True)
class _Question:
    """What the model is asked with, where it comes from, and what was done to it."""

    inputs: Any
    digest: Digest
    file: str
    notes: tuple[str, ...] = ()


def _question(folder: ModelFolder, model: FlavoredModel, file: Path | None) -> _Question:
    """The user's inputs, or the folder's example. Raises NotImportable, NotFound, BadRequest."""
    if file is not None:
        inputs, digest = _read_arrays(file), Digest.of(file.read_bytes())
        return _Question(inputs, digest, str(file))
    example = read_example(folder, frame=model.frame)
    inputs, notes = _fitted(folder, model, example)
    return _Question(inputs, example.digest, example.file, notes)


def _fitted(folder: ModelFolder, model: FlavoredModel, example: Example) -> tuple[Any, tuple[str, ...]]:
    """The example as the model's own file wants it: its columns in order, its arrays in the right types."""
    if not model.spec.imports:
        return example.inputs, ()
    importer: Any = importer_of(model.spec)
    path = folder.root / model.file
    try:
        if example.columns and hasattr(importer, "feature_names"):
            add_columns({}, example.columns, importer.feature_names(path))
        if hasattr(importer, "fit_inputs"):
            fitted: tuple[Any, tuple[str, ...]] = importer.fit_inputs(path, example.inputs, example.columns)
            return fitted
    except BadData as error:
        raise NotImportable(
            folder.root,
            [f"{example.file}: {error}"],
            advice="give the inputs as the model takes them: --inputs X.npy, X.npz or X.csv",
        ) from None
    return example.inputs, ()


def _read_arrays(path: Path) -> Any:
    """Read one array, or arrays by name, from the user's file. Raises NotFound and BadRequest."""
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    try:
        arrays = array_files.read(path, name="", dtype="<f8")
    except BadData as error:
        raise BadRequest(
            f"{path} can't be read: {error}", advice="give .npy, .npz, .csv or .tsv, all of numbers"
        ) from error
    return arrays[""] if list(arrays) == [""] else arrays


def _named(
    archive: Archive, request: Request, connect: Callable[[], Engine], progress: Progress
) -> EnvironmentRecord:
    version = connect().version()["version"]
    return choose(archive, request.environment, engine_version=version, progress=progress)


def _origin(folder: ModelFolder, model: FlavoredModel, question: _Question) -> str:
    version = f", written by MLflow {folder.mlflow_version}" if folder.mlflow_version else ""
    return (
        f"imported from an MLflow folder{version}: the {model.flavor.name} flavor's {model.file}, asked with"
        f" {question.file}"
    )


def _facts(folder: ModelFolder, model: FlavoredModel) -> dict[str, str]:
    """What MLflow knows the model by, as tags."""
    facts = {
        "flavor": model.flavor.name,
        "version": folder.mlflow_version,
        "framework_version": model.configuration.get(model.flavor.version) if model.flavor.version else None,
        "model_class": model.configuration.get("model_class"),
        "model_uuid": folder.facts.get("model_uuid"),
        "model_id": folder.facts.get("model_id"),
        "run_id": folder.facts.get("run_id"),
        "mlmodel_sha256": folder.digest.hex,
    }
    return {f"mlflow.{name}": quoted(value) for name, value in facts.items() if value}


def _source(folder: ModelFolder, model: FlavoredModel, question: _Question, request: Request) -> str:
    """One digest of all that an import is made of, but its environment."""
    parts = [folder.digest.hex, model.flavor.name, question.digest.hex]
    parts += [str(request.profile), request.graph_optimization, *sorted(request.scores)]
    files = [name for place in (model.file, *model.beside) for name in folder.files_of(place)]
    parts += [f"{name} {folder.digest_of(name).hex}" for name in files]
    if request.expected is not None:
        parts.append(Digest.of(request.expected.read_bytes()).hex)
    return Digest.of("\n".join(parts).encode()).hex


def _earlier(
    archive: Archive, grid_size: int, framework: str, source: str, environment: EnvironmentRecord
) -> Ref | None:
    """The artifact that the same import made before, in the same environment."""
    for version, tag in archive.tags(grid_size, framework).items():
        ref = Ref(grid_size, framework, version, tag)
        try:
            metadata: Metadata = read_metadata(archive, ref)
        except BadArchive:  # `verify` reports it
            continue
        same = metadata.environment.lock_sha256 == environment.lock_sha256
        if same and metadata.tags.get(_SOURCE) == source:
            return ref
    return None
