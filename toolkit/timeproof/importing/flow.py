"""Import: a third party's models and answers become artifacts. Nothing runs, and nothing is sealed."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from timeproof.base.clock import utc_now
from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Engine
from timeproof.errors import BadArchive, BadModel, BadRequest, NotImportable
from timeproof.frameworks.base import Saved
from timeproof.frameworks.choose import spec_for_file
from timeproof.frameworks.imports import BadData, Importer, KnownAnswers, ModelCase, importer_of
from timeproof.frameworks.options import GraphOptimization
from timeproof.frameworks.registry import require_spec, specs
from timeproof.frameworks.spec import FrameworkSpec
from timeproof.images.build import locate_environment
from timeproof.importing.earlier import EarlierImports
from timeproof.importing.model_files import hash_entries
from timeproof.replaying.scores import marked
from timeproof.runs.environment_provider import by_name, from_lock_folder, read_lock_folder
from timeproof.runs.profiles import profile_for
from timeproof.store import publish, reference
from timeproof.store.environment_contents import versions_of
from timeproof.store.layout import Archive, Ref, check_grid_size
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
    inputs: Path | None = None  # with a model file, as `expected`: .npy, .npz, .csv or .tsv
    expected: Path | None = None
    trees: int | None = None  # for XGBoost and LightGBM: the boosting rounds that gave the answers
    scores: Sequence[str] = ()  # names of answers that hold class scores
    origin: str = ""  # the origin that the metadata records; by default the source's own name
    profile: str = "portable"
    graph_optimization: GraphOptimization = "basic"
    tags: Mapping[str, str] = field(default_factory=dict)
    skip_bad: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """What was published, what the archive had already (`there`), and what was left out, with reasons."""

    refs: tuple[Ref, ...]
    there: tuple[Ref, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()  # changes of the dtypes of the user's arrays


@dataclass(frozen=True, slots=True)
class _Item:
    """One case that becomes an artifact: its name, its tags, and the function that copies its files."""

    name: str
    tags: Mapping[str, str]
    save: Callable[[publish.Draft], tuple[Saved, KnownAnswers]]


def import_models(
    archive: Archive, request: Request, connect: Callable[[], Engine], *, progress: Progress = SILENT
) -> Imported:
    """Publish a model file, or every case of a tree, with the third party's own answers as reference.

    An artifact that the archive holds already, the same to the byte, is not imported again: after an
    interruption the same request imports the rest.

    Args:
        connect: returns the engine; called only where the environment is not in the archive yet.

    Raises:
        BadGridSize / BadRequest / NotImportable: nothing was published.
        BadEnvironment / EngineFailed: the environment can't be built.
        StorageFailed: the disk refuses; nothing was published.
    """
    grid_size = check_grid_size(request.grid_size)
    archive.check_place()
    framework, items = _items(request)
    spec = require_spec(framework)
    profile = profile_for(request.profile, spec.profile)
    environment = _environment(archive, request.environment, connect, progress)
    progress.step(f"Importing {len(items)} {'cases' if len(items) != 1 else 'case'}")
    with publish.draft(archive, grid_size, framework, count=len(items), tag=spec.tag) as draft:
        filling = _Filling(archive, draft, request, environment, profile)
        for item in items:
            progress.detail(item.name)
            filling.add(item)
        imported = filling.finish()
        progress.step("Publishing")
        return replace(imported, refs=tuple(draft.publish()))


def _environment(
    archive: Archive, name: str | Path, connect: Callable[[], Engine], progress: Progress
) -> EnvironmentRecord:
    folder = Path(name)
    if not folder.is_dir():
        return by_name(archive, str(name))
    folder = folder.resolve()
    lock, _ = read_lock_folder(folder)
    if record := locate_environment(archive, folder.name, lock):
        return record
    version = connect().version()["version"]
    return from_lock_folder(archive, folder, engine_version=version, progress=progress)


def _items(request: Request) -> tuple[str, list[_Item]]:
    if request.source.is_dir():
        return _cases(request)
    spec, importer, answers = _answers(request)

    def save(draft: publish.Draft) -> tuple[Saved, KnownAnswers]:
        level = request.graph_optimization
        return importer.save(request.source, answers, draft.folder, draft.ref.tag, level), answers

    return spec.name, [_Item(request.source.name, {}, save)]


def _answers(request: Request) -> tuple[FrameworkSpec, Importer, KnownAnswers]:
    """Read a model file's inputs and answers: those beside it, or those that such a file holds itself."""
    if (request.inputs is None) is not (request.expected is None):
        raise BadRequest("--inputs and --expected belong together", advice="give both, or neither of them")
    if request.inputs is not None and request.expected is not None:
        spec = spec_for_file(request.source)
        importer = importer_of(spec)
        answers = importer.read_answers(request.source, request.inputs, request.expected, request.trees)
        return spec, importer, answers
    spec_of_file = spec_for_file(request.source) if request.source.is_file() else None
    own_answers = (
        getattr(importer_of(spec_of_file), "read_own_answers", None)
        if spec_of_file and spec_of_file.imports
        else None
    )
    if spec_of_file is None or own_answers is None:
        raise BadRequest(
            f"{request.source} is not a folder of cases, so its inputs and its answers are needed",
            advice="add --inputs and --expected: .npy, .npz, .csv or .tsv",
        )
    return spec_of_file, importer_of(spec_of_file), own_answers(request.source)


def _cases(request: Request) -> tuple[str, list[_Item]]:
    """Find the cases of a folder, with the first framework that knows such folders."""
    if request.inputs is not None or request.expected is not None:
        raise BadRequest("a folder of cases has its own inputs and answers", advice="leave them out")
    if (request.source / "MLmodel").exists():
        raise BadRequest(
            f"{request.source} is a model folder of MLflow",
            advice="timeproof.mlflow.import_folder imports it",
        )
    for spec in (spec for spec in specs() if spec.imports):
        cases = importer_of(spec).find_cases(request.source)
        if cases is None:
            continue
        if request.trees is not None:
            raise BadRequest(f"{spec.name} models have no boosting rounds", advice="leave --trees out")
        return spec.name, [_Item(case.name, case.tags, _saver(case, request)) for case in cases]
    raise BadRequest(f"{request.source} is a folder, and no installed framework imports folders")


def _saver(case: ModelCase, request: Request) -> Callable[[publish.Draft], tuple[Saved, KnownAnswers]]:
    return lambda draft: case.save(draft.folder, draft.ref.tag, request.graph_optimization)


class _Filling:
    """A batch that is being filled: what its cases share, and what became of each."""

    def __init__(
        self,
        archive: Archive,
        draft: publish.Draft,
        request: Request,
        environment: EnvironmentRecord,
        profile: ProfileRecord,
    ) -> None:
        self.draft, self.request, self.environment, self.profile = draft, request, environment, profile
        self.origin = Origin(origin="imported", source=request.origin or request.source.resolve().name)
        self.python = versions_of(environment).get("python", "")
        self.earlier = EarlierImports(archive, draft.ref.grid_size, draft.ref.framework)
        self.duplicates: list[Ref] = []
        self.problems: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.unused_scores = set(request.scores)

    def add(self, item: _Item) -> None:
        """Add one case to the batch; what is wrong with it goes to `problems`."""
        try:
            saved, answers = item.save(self.draft)
            entries = [*hash_entries(saved, self.draft.folder), _write_reference(self.draft, answers)]
            scores = [name for name in self.request.scores if name in answers.outputs.arrays]
            self.unused_scores.difference_update(scores)
            self.notes += answers.notes
            metadata = self._metadata(item, saved, answers, entries, scores)
            duplicate = self.earlier.locate(metadata, scores)
            if duplicate is not None:
                self.duplicates.append(duplicate)
                self.draft.discard()
            else:
                self.draft.add(metadata)
        except (BadData, BadModel, BadArchive) as error:
            self.problems.append((item.name, str(error)))
            self.draft.discard()

    def _metadata(
        self,
        item: _Item,
        saved: Saved,
        answers: KnownAnswers,
        entries: list[FileEntry],
        scores: Sequence[str],
    ) -> Metadata:
        inputs, outputs, environment = answers.inputs, answers.outputs, self.environment
        return Metadata(
            schema=1,
            created=utc_now(),
            grid_size=self.draft.ref.grid_size,
            version=self.draft.ref.version,
            framework=Framework(
                name=self.draft.ref.framework,
                version=None,
                python=self.python,
                **require_spec(self.draft.ref.framework).described(),
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
            inputs=reference.specs_of("input", inputs.arrays, inputs.elements),
            outputs=reference.specs_of(
                "output", outputs.arrays, outputs.elements, marked(scores, outputs.arrays, saved.scores)
            ),
            copies=[],
            environment=EnvironmentRef(
                name=environment.folder, lock_sha256=environment.lock_sha256, image=environment.image
            ),
            profile=self.profile,
            training=None,
            machine=Machine(),
            seal=SealFacts(),
            tags={**{k: str(v) for k, v in self.request.tags.items()}, **item.tags},
            notes=[*answers.notes, *saved.notes],
            kept=list(saved.kept),
            reference=self.origin,
        )

    def finish(self) -> Imported:
        """Report what became of the cases, before any is published. Raises NotImportable and BadRequest."""
        request, problems = self.request, self.problems
        if problems and not (request.skip_bad and (self.draft.count or self.duplicates)):
            raise NotImportable(request.source, [f"{name}: {reason}" for name, reason in problems])
        if self.unused_scores and not problems:
            raise BadRequest(
                f"--scores {min(self.unused_scores)}: no imported answer has this name",
                advice="name the answers as the reference names them",
            )
        return Imported((), tuple(self.duplicates), tuple(problems), tuple(dict.fromkeys(self.notes)))


def _write_reference(draft: publish.Draft, answers: KnownAnswers) -> FileEntry:
    stream = io.BytesIO()
    reference.write(stream, input=answers.inputs.arrays, output=answers.outputs.arrays)
    return draft.write(f"reference_{draft.ref.tag}.npz", stream.getbuffer(), "reference", "npz")
