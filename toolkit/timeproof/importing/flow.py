"""Import: a third party's models and answers become artifacts. Nothing runs, and nothing is sealed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from timeproof.base.clock import utc_now
from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Engine
from timeproof.errors import BadArchive, BadModel, BadRequest, NotImportable
from timeproof.frameworks.onnx import case_folders
from timeproof.frameworks.onnx.case_folders import Known
from timeproof.frameworks.onnx.tensor_files import BadData
from timeproof.frameworks.options import GraphOptimization
from timeproof.frameworks.registry import require_spec
from timeproof.images.build import locate_environment
from timeproof.importing import model_files
from timeproof.importing.model_files import Kept
from timeproof.replaying.scores import marked, scores_of
from timeproof.runs.environment_provider import by_name, from_lock_folder, read_lock_folder
from timeproof.runs.profiles import profile_named
from timeproof.store import batch, reference
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
from timeproof.store.verify import read_metadata


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
    copy: Callable[[batch.Batch], tuple[Kept, Known]]


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
        StorageFailed: every artifact that was published by then is whole.
    """
    grid_size = check_grid_size(request.grid_size)
    archive.check_place()
    profile = profile_named(request.profile)
    framework, items = _items(request)
    environment = _environment(archive, request.environment, connect, progress)
    progress.step(f"Importing {len(items)} {'cases' if len(items) != 1 else 'case'}")
    with batch.batch(archive, grid_size, framework, len(items), tag=require_spec(framework).tag) as draft:
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
        if request.inputs is not None or request.expected is not None:
            raise BadRequest("a folder of cases has its own inputs and answers", advice="leave them out")
        if request.trees is not None:
            raise BadRequest("ONNX models have no boosting rounds", advice="leave --trees out")
        return "onnx", [_case_item(data_set, request) for data_set in case_folders.find(request.source)]
    if request.inputs is None or request.expected is None:
        raise BadRequest(
            f"{request.source} is not a folder of cases, so its inputs and its answers are needed",
            advice="add --inputs and --expected: .npy, .npz, .csv or .tsv",
        )
    adapter = model_files.adapter_of(request.source)
    case = model_files.read_known(
        request.source, adapter.name, request.inputs, request.expected, request.trees
    )

    def copy(draft: batch.Batch) -> tuple[Kept, Known]:
        return model_files.copy_model_file(
            draft, request.source, adapter, case, request.graph_optimization
        ), case

    return adapter.name, [_Item(request.source.name, {}, copy)]


def _case_item(data_set: case_folders.Found, request: Request) -> _Item:
    def copy(draft: batch.Batch) -> tuple[Kept, Known]:
        data = case_folders.read_file(data_set.root, data_set.model)
        case = case_folders.known(data_set, data)
        path = data_set.root / data_set.model
        return model_files.copy_onnx(draft, path, data, case, request.graph_optimization), case

    return _Item(f"{data_set.case or data_set.root}/{Path(data_set.data_set).name}", data_set.tags, copy)


class _Filling:
    """A batch that is being filled: what its cases share, and what became of each."""

    def __init__(
        self,
        archive: Archive,
        draft: batch.Batch,
        request: Request,
        environment: EnvironmentRecord,
        profile: ProfileRecord,
    ) -> None:
        self.draft, self.request, self.environment, self.profile = draft, request, environment, profile
        self.origin = Origin(origin="imported", source=request.origin or request.source.resolve().name)
        self.python = versions_of(environment).get("python", "")
        self.earlier: dict[_Key, list[tuple[Ref, Metadata]]] = {}
        for key, ref, metadata in _earlier_imports(archive, draft.grid_size, draft.framework):
            self.earlier.setdefault(key, []).append((ref, metadata))
        self.duplicates: list[Ref] = []
        self.problems: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.unused_scores = set(request.scores)

    def add(self, item: _Item) -> None:
        """Add one case to the batch; what is wrong with it goes to `problems`."""
        try:
            copied, case = item.copy(self.draft)
            entries = [*copied.files, _write_reference(self.draft, case)]
            scores = [name for name in self.request.scores if name in case.outputs.arrays]
            self.unused_scores.difference_update(scores)
            self.notes += case.notes
            metadata = self._metadata(item, copied, case, entries, scores)
            duplicate = self._duplicate(metadata, scores)
            if duplicate is not None:
                self.duplicates.append(duplicate)
                self.draft.forget()
            else:
                self.draft.add(metadata)
        except (BadData, BadModel, BadArchive) as error:
            self.problems.append((item.name, str(error)))
            self.draft.forget()

    def _duplicate(self, metadata: Metadata, scores: Sequence[str]) -> Ref | None:
        """The artifact that was imported before, is the same, and has at least these scores marked."""
        for ref, earlier in self.earlier.get(_key(metadata), ()):
            if _marked_scores(earlier).issuperset(scores):
                return ref
        return None

    def _metadata(
        self, item: _Item, copied: Kept, case: Known, entries: list[FileEntry], scores: Sequence[str]
    ) -> Metadata:
        inputs, outputs, environment = case.inputs, case.outputs, self.environment
        return Metadata(
            schema=1,
            created=utc_now(),
            grid_size=self.draft.grid_size,
            version=self.draft.next.version,
            framework=Framework(
                name=self.draft.framework,
                version=None,
                python=self.python,
                **require_spec(self.draft.framework).described(),
            ),
            model=Model(
                file=copied.model,
                module=None,
                qualname=None,
                init_args={},
                options=copied.options,
                source=[],
                signature=dict(copied.signature),
            ),
            files=entries,
            inputs=reference.specs_of("input", inputs.arrays, inputs.elements),
            outputs=reference.specs_of(
                "output", outputs.arrays, outputs.elements, marked(scores, outputs.arrays, copied.scores)
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
            notes=[*case.notes, *copied.notes],
            kept=list(copied.kept),
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


def _marked_scores(metadata: Metadata) -> set[str]:
    """The outputs that an artifact has marked as class scores."""
    return {name for name, is_scores in scores_of(metadata.outputs).items() if is_scores}


def _write_reference(draft: batch.Batch, case: Known) -> FileEntry:
    stream = io.BytesIO()
    reference.write(stream, input=case.inputs.arrays, output=case.outputs.arrays)
    return draft.write(f"reference_{draft.next.tag}.npz", stream.getbuffer(), "reference", "npz")


_Key = tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]], str, str]


def _key(metadata: Metadata) -> _Key:
    """What two imports of the same case share: the files' bytes, tags, environment, the loader's options."""
    return (
        frozenset((f.role, f.sha256) for f in metadata.files),
        frozenset(metadata.tags.items()),
        metadata.environment.lock_sha256,
        repr(dict(metadata.model.options)),
    )


def _earlier_imports(
    archive: Archive, grid_size: int, framework: str
) -> Iterator[tuple[_Key, Ref, Metadata]]:
    for version, tag in archive.tags(grid_size, framework).items():
        ref = Ref(grid_size, framework, version, tag)
        try:
            metadata = read_metadata(archive, ref)
        except BadArchive:  # `verify` reports it; such an artifact is never a duplicate
            continue
        if metadata.reference.origin == "imported":
            yield _key(metadata), ref, metadata
