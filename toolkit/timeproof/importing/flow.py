"""Importing: a third party's models and answers become artifacts. Nothing runs, and nothing is sealed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from timeproof.base.clock import utc_now
from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Engine
from timeproof.errors import BadArchive, BadModel, BadRequest, NotImportable
from timeproof.frameworks.base import Saved
from timeproof.frameworks.choose import spec_for_file
from timeproof.frameworks.imports import BadData, KnownAnswers, ModelCase, importer_of
from timeproof.frameworks.registry import require_spec, specs
from timeproof.images.build import locate_environment
from timeproof.importing.model_files import entries_of
from timeproof.replaying.scores import marked, scores_of
from timeproof.runs.environment_provider import by_name, from_lock_folder, read_lock_folder
from timeproof.runs.profiles import profile_named
from timeproof.store import publish, reference
from timeproof.store.environment_contents import versions_of
from timeproof.store.layout import Archive, Ref, check_grid_size
from timeproof.store.read import read_metadata
from timeproof.store.schema.records import Machine, SealFacts
from timeproof.store.schema.v1 import (
    EnvironmentRecord,
    EnvironmentRef,
    FileEntry,
    Framework,
    Metadata,
    Model,
    Origin,
    ProfileRecord,
)


@dataclass(frozen=True, slots=True)
class Request:
    """What to import, and how. `source` is a model file, or a tree of ONNX's cases."""

    source: Path
    grid_size: object
    environment: str | Path
    inputs: Path | None = None  # with a model file: .npy, .npz, .csv or .tsv, as are the answers
    expected: Path | None = None
    trees: int | None = None  # of models of trees: the boosting rounds that gave the answers
    scores: Sequence[str] = ()  # names of answers that hold class scores
    origin: str = ""  # what the metadata says that it comes from; the source's own name by default
    profile: str = "portable"
    graph_optimization: Literal["disable", "basic", "extended", "all"] = "basic"
    tags: Mapping[str, str] = field(default_factory=dict)
    skip_bad: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """What was published; what was there already, the same; and what was left out, with the reason."""

    refs: tuple[Ref, ...]
    there: tuple[Ref, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()  # what was done to the arrays that were handed over


@dataclass(frozen=True, slots=True)
class _Item:
    """One artifact to be: what to write, and what it is called."""

    name: str
    tags: Mapping[str, str]
    save: Callable[[publish.Draft], tuple[Saved, KnownAnswers]]


def import_models(
    archive: Archive, request: Request, connect: Callable[[], Engine], *, progress: Progress = SILENT
) -> Imported:
    """Publish a model file, or every case of a tree, with the third party's own answers as reference.

    What is there already, the same to the byte, is not imported again: after an interruption the same
    request brings the rest.

    Args:
        connect: gives the engine, which is asked for only where the environment is not there yet.

    Raises:
        BadGridSize / BadRequest / NotImportable: nothing was published.
        BadEnvironment / EngineFailed: the environment can't be made.
        StorageFailed: the disk refuses; nothing was published.
    """
    grid_size = check_grid_size(request.grid_size)
    archive.check_place()
    profile = profile_named(request.profile)
    framework, items = _items(request)
    environment = _environment(archive, request.environment, connect, progress)
    progress.step(f"Importing {len(items)} {'cases' if len(items) != 1 else 'case'}")
    tag = require_spec(framework).tag
    with publish.draft(archive, grid_size, framework, count=len(items), tag=tag) as draft:
        done = _fill(archive, draft, items, request, environment, profile, progress)
        progress.step("Publishing")
        return replace(done, refs=tuple(draft.publish()))


def _environment(
    archive: Archive, named: str | Path, connect: Callable[[], Engine], progress: Progress
) -> EnvironmentRecord:
    folder = Path(named)
    if not folder.is_dir():
        return by_name(archive, str(named))
    folder = folder.resolve()
    lock, _ = read_lock_folder(folder)
    if record := locate_environment(archive, folder.name, lock):
        return record
    version = connect().version()["version"]
    return from_lock_folder(archive, folder, engine_version=version, progress=progress)


def _items(request: Request) -> tuple[str, list[_Item]]:
    if request.source.is_dir():
        return _cases(request)
    if request.inputs is None or request.expected is None:
        raise BadRequest(
            f"{request.source} is no folder of cases, so its inputs and its answers are needed",
            advice="add --inputs and --expected: .npy, .npz, .csv or .tsv",
        )
    spec = spec_for_file(request.source)
    importer = importer_of(spec)
    answers = importer.read_answers(request.source, request.inputs, request.expected, request.trees)

    def save(draft: publish.Draft) -> tuple[Saved, KnownAnswers]:
        level = request.graph_optimization
        return importer.save(request.source, answers, draft.folder, draft.ref.tag, level), answers

    return spec.name, [_Item(request.source.name, {}, save)]


def _cases(request: Request) -> tuple[str, list[_Item]]:
    """Find the cases of a folder: of the first framework that knows such folders."""
    if request.inputs is not None or request.expected is not None:
        raise BadRequest("a folder of cases has its own inputs and answers", advice="leave them out")
    for spec in (spec for spec in specs() if spec.imports):
        cases = importer_of(spec).find_cases(request.source)
        if cases is None:
            continue
        if request.trees is not None:
            raise BadRequest(f"{spec.name} models have no boosting rounds", advice="leave --trees out")
        return spec.name, [_Item(case.name, case.tags, _saver(case, request)) for case in cases]
    raise BadRequest(f"{request.source} is a folder, and no framework here imports one")


def _saver(case: ModelCase, request: Request) -> Callable[[publish.Draft], tuple[Saved, KnownAnswers]]:
    return lambda draft: case.save(draft.folder, draft.ref.tag, request.graph_optimization)


def _fill(
    archive: Archive,
    draft: publish.Draft,
    items: Iterable[_Item],
    request: Request,
    environment: EnvironmentRecord,
    profile: ProfileRecord,
    progress: Progress,
) -> Imported:
    before: dict[_Key, list[tuple[Ref, Metadata]]] = {}
    for key, ref, metadata in _before(archive, draft.ref.grid_size, draft.ref.framework):
        before.setdefault(key, []).append((ref, metadata))
    existing: list[Ref] = []
    problems: list[tuple[str, str]] = []
    notes: list[str] = []
    unseen = set(request.scores)
    origin = Origin(origin="imported", source=request.origin or request.source.resolve().name)
    python = versions_of(environment).get("python", "")
    for item in items:
        progress.detail(item.name)
        try:
            saved, answers = item.save(draft)
            entries = [*entries_of(saved, draft.folder), _reference(draft, answers)]
            tags = {**{k: str(v) for k, v in request.tags.items()}, **item.tags}
            named = [name for name in request.scores if name in answers.outputs.arrays]
            unseen.difference_update(named)
            scores = marked(named, answers.outputs.arrays, saved.scores)
            notes += answers.notes
            key = _key(entries, tags, environment.lock_sha256, dict(saved.options))
            alike = [ref for ref, metadata in before.get(key, ()) if _marks(metadata).issuperset(named)]
            if alike:
                existing.append(alike[0])
                draft.discard()
                continue
            draft.add(
                Metadata(
                    schema=1,
                    created=utc_now(),
                    grid_size=draft.ref.grid_size,
                    version=draft.ref.version,
                    framework=Framework(
                        name=draft.ref.framework,
                        version=None,
                        python=python,
                        **require_spec(draft.ref.framework).described(),
                    ),
                    model=Model(
                        file=saved.model,
                        module=None,
                        qualname=None,
                        init_args={},
                        options=dict(saved.options),
                        source=[],
                        signature=dict(saved.signature),
                    ),
                    files=entries,
                    inputs=reference.specs_of("input", answers.inputs.arrays, answers.inputs.elements),
                    outputs=reference.specs_of(
                        "output", answers.outputs.arrays, answers.outputs.elements, scores
                    ),
                    copies=[],
                    environment=EnvironmentRef(
                        name=environment.folder,
                        lock_sha256=environment.lock_sha256,
                        image=environment.image,
                    ),
                    profile=profile,
                    training=None,
                    machine=Machine(),
                    seal=SealFacts(),
                    tags=tags,
                    notes=[*answers.notes, *saved.notes],
                    kept=list(saved.kept),
                    reference=origin,
                )
            )
        except (BadData, BadModel, BadArchive) as error:
            problems.append((item.name, str(error)))
            draft.discard()
    if problems and not (request.skip_bad and (draft.count or existing)):
        raise NotImportable(request.source, [f"{name}: {why}" for name, why in problems])
    if unseen and not problems:
        raise BadRequest(
            f"--scores {min(unseen)}: no answer that is imported has this name",
            advice="name the answers as the reference names them",
        )
    return Imported((), tuple(existing), tuple(problems), tuple(dict.fromkeys(notes)))


def _marks(metadata: Metadata) -> set[str]:
    """The outputs that an artifact has marked as class scores."""
    return {name for name, is_scores in scores_of(metadata.outputs).items() if is_scores}


def _reference(draft: publish.Draft, answers: KnownAnswers) -> FileEntry:
    stream = io.BytesIO()
    reference.write(stream, input=answers.inputs.arrays, output=answers.outputs.arrays)
    return draft.write(f"reference_{draft.ref.tag}.npz", stream.getbuffer(), "reference", "npz")


_Key = tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]], str, str]


def _key(files: Iterable[FileEntry], tags: Mapping[str, str], lock: str, options: Mapping[str, Any]) -> _Key:
    """What makes an import the same as another: bytes, tags, environment, and what the loader is told."""
    return frozenset((f.role, f.sha256) for f in files), frozenset(tags.items()), lock, repr(dict(options))


def _before(archive: Archive, grid_size: int, framework: str) -> Iterator[tuple[_Key, Ref, Metadata]]:
    """What was imported before."""
    for version, tag in archive.tags(grid_size, framework).items():
        ref = Ref(grid_size, framework, version, tag)
        try:
            metadata = read_metadata(archive, ref)
        except BadArchive:  # `verify` says so; here it is no one's double
            continue
        if metadata.reference.origin == "imported":
            lock = metadata.environment.lock_sha256
            key = _key(metadata.files, metadata.tags, lock, metadata.model.options)
            yield key, ref, metadata
