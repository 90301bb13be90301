"""Export an artifact as a folder of another tool: files are checked and copied, and it appears as a whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.paths import list_tree, open_regular
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import BadRequest, DigestMismatch, NotFound
from timeproof.exporting.mlflow_flavors import Exported, Flavor, flavor_of
from timeproof.exporting.mlflow_folder import folder_files
from timeproof.frameworks.imports import importer_of
from timeproof.frameworks.registry import spec_named
from timeproof.store.environment_contents import versions_of
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_artifact, read_environment
from timeproof.store.reference import Array, read
from timeproof.store.schema.v1 import FileEntry, Metadata

FORMATS = ("mlflow",)


@dataclass(frozen=True, slots=True)
class ExportedFolder:
    """What was written.

    Args:
        output: the archived output that the other tool gives; empty for all of them, by name.
        column: of that output, the column that it gives; None for all of it.
        copy: the copy that was exported instead of the model; empty for the model itself.
    """

    ref: Ref
    path: Path
    flavor: str
    output: str
    column: int | None
    copy: str = ""


def export(
    archive: Archive,
    ref: Ref,
    target: Path,
    *,
    form: str = "mlflow",
    copy: str = "",
    progress: Progress = SILENT,
) -> ExportedFolder:
    """Write an artifact as a folder of another tool, which then gives the archived answer.

    Args:
        target: a folder that does not exist yet.
        form: one of FORMATS.
        copy: export this copy of the model (such as `onnx`) instead of the model itself.

    Raises:
        BadRequest / NotFound: the format, the target or the copy.
        NotExportable: the other tool can't be made to give that answer.
        BadArchive: a file of the artifact is missing or altered.
    """
    if form not in FORMATS:
        raise BadRequest(f"{form!r} is no format to export to", advice=f"it is one of {', '.join(FORMATS)}")
    if target.exists() or target.is_symlink():
        raise BadRequest(f"{target} exists already, and is never overwritten", advice="name another folder")
    progress.step(f"Reading {ref}")
    metadata = read_artifact(archive, ref)
    record = read_environment(archive, metadata.environment.name)
    arrays = _reference(archive, ref, metadata)
    exported = _model(archive, ref, metadata, versions_of(record), copy)
    flavor = flavor_of(exported)
    inputs = {spec.name: arrays[spec.name] for spec in metadata.inputs}
    outputs = {spec.name: arrays[spec.name] for spec in metadata.outputs}
    digest = _digest(archive, ref)
    files = folder_files(ref, metadata, digest, flavor, record, inputs, outputs)
    progress.step(f"Writing {target}")
    _publish(archive, ref, metadata, exported, flavor, files, target)
    return ExportedFolder(ref, target, flavor.name, flavor.output, flavor.column, copy)


def _model(
    archive: Archive, ref: Ref, metadata: Metadata, versions: Mapping[str, str], copy: str
) -> Exported:
    """The model, or the copy of that name. Raises NotFound."""
    if not copy:
        framework, file = metadata.framework.name, metadata.model.file
        names = _feature_names(archive.root / ref.folder / file, framework)
        return Exported(metadata, framework, file, metadata.model.options, versions, names)
    for candidate in metadata.copies:
        if candidate.name == copy:
            return Exported(metadata, candidate.framework, candidate.file, candidate.options, versions)
    present = ", ".join(c.name for c in metadata.copies) or "none"
    raise NotFound(f"{ref} has no copy called {copy!r}", advice=f"it has: {present}")


def _feature_names(path: Path, framework: str) -> tuple[str, ...]:
    """The features that a model file names, where its framework's importer reads them; it is not loaded."""
    spec = spec_named(framework)
    reader = getattr(importer_of(spec), "feature_names", None) if spec is not None and spec.imports else None
    return tuple(reader(path)) if reader is not None else ()


def _reference(archive: Archive, ref: Ref, metadata: Metadata) -> dict[str, Array]:
    entry = metadata.file("reference")
    relative = f"{ref.folder}/{entry.path}"
    with open_regular(archive.root, relative) as stream:
        specs = [*metadata.inputs, *metadata.outputs]
        return read(stream, specs, archive.root / relative)


def _digest(archive: Archive, ref: Ref) -> Digest:
    with open_regular(archive.root, ref.metadata) as stream:
        return Digest.of_stream(stream)[0]


def _publish(
    archive: Archive,
    ref: Ref,
    metadata: Metadata,
    exported: Exported,
    flavor: Flavor,
    files: Mapping[str, bytes],
    target: Path,
) -> None:
    """Write all files into a private folder beside the target, and rename it."""
    entries = {entry.path: entry for entry in metadata.files}
    model = {exported.file: flavor.file}
    beside = {path: path.rpartition("/")[2] for path, entry in entries.items() if entry.role == "external"}
    with atomic.storage(target.parent), atomic.Staging(target.parent, "export") as staging:
        for source, name in {**(beside if flavor.name == "onnx" else {}), **model}.items():
            (staging.path / name).parent.mkdir(exist_ok=True)
            _copy(archive, ref, entries[source], staging.path / name)
        for name, data in files.items():
            (staging.path / name).write_bytes(data)
        atomic.sync_all([staging.path / name for name in list_tree(staging.path)])
        atomic.sync_folder(staging.path)
        os.rename(staging.path, target)
        atomic.sync_folder(target.parent)


def _copy(archive: Archive, ref: Ref, entry: FileEntry, target: Path) -> None:
    """Copy a file, hashing what is copied. Raises DigestMismatch."""
    relative = f"{ref.folder}/{entry.path}"
    with open_regular(archive.root, relative) as reader, target.open("xb") as writer:
        digest, _ = Digest.of_stream(reader, writer)
    if digest.hex != entry.sha256:
        raise DigestMismatch(archive.root / relative, Digest(entry.sha256), digest)
