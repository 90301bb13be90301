"""Whole artifacts brought from an OCI registry: with environment, packages, image and answers.

A manifest says where bytes are; the archive's own documents say which bytes they must be. All of it comes
into a private folder first, is checked there, and is published as if it had been made here.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import (
    DigestMismatch,
    Exists,
    Malformed,
    NotAModelPack,
    SizeMismatch,
    WrongImage,
)
from timeproof.store import oci_layout, publish
from timeproof.store.claims import Claim, check_claim
from timeproof.store.layout import Archive, Ref
from timeproof.store.packages import PackageStore
from timeproof.store.read import (
    artifact_claims,
    emulator_claims,
    environment_claims,
    package_claims,
    read_environment,
)
from timeproof.store.registry import modelpack
from timeproof.store.registry.client import Registry
from timeproof.store.registry.modelpack import Packed
from timeproof.store.schema.v1 import EnvironmentRecord, Metadata
from timeproof.store.versions import owned_version

_METADATA = re.compile(
    r"grid-size-[1-9]\d{0,15}/[a-z][a-z0-9_]*/metadata_[a-z][a-z0-9]*_v[1-9]\d{0,15}\.json"
)


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did."""

    ref: Ref
    reference: str  # HOST/NAME@sha256:…
    bytes: int  # that came
    there: bool  # the archive had the artifact, the same to the byte


def pull_artifact(remote: Registry, archive: Archive, name: str, *, progress: Progress = SILENT) -> Pulled:
    """Bring an artifact, and its environment where the archive lacks it, and publish both.

    Args:
        name: a tag, or a manifest's digest.

    Raises:
        NotAModelPack: what has that name is no artifact of timeproof.
        Exists: the archive has another artifact of that version.
        DigestMismatch / SizeMismatch / Limit / UnsafePath / Malformed: the registry gives something else
            than the documents say. RemoteFailed / AccessDenied / StorageFailed. Nothing was published.
    """
    where = f"{remote.repository}{'@' if name.startswith('sha256:') else ':'}{name}"
    progress.step(f"Pulling {where}")
    packed = modelpack.read(remote.read_manifest(name), where)
    with _scratch(archive) as folder, atomic.storage(folder):
        pull = _Pull(remote, archive, packed, where, folder, progress)
        ref, metadata = pull.metadata()
        if (archive.root / ref.metadata).exists():
            pull.require_same(ref)
            return Pulled(ref, f"{remote.repository}@{packed.digest}", pull.bytes, True)
        environment = pull.environment(metadata)
        pull.artifact(ref, metadata)
        progress.step("Publishing")
        if environment is not None:
            environment.publish()
        pull.publish(ref, metadata)
    return Pulled(ref, f"{remote.repository}@{packed.digest}", pull.bytes, False)


@contextmanager
def _scratch(archive: Archive) -> Iterator[Path]:
    """A private folder in the archive. Where there was no archive, and none was made, none is left."""
    fresh = not archive.root.exists()
    for parent in (archive.images, archive.packages, archive.environments):
        if parent.is_dir():
            atomic.sweep(parent)  # what killed pulls left
    try:
        with atomic.Staging(archive.images, "pull") as staging:
            yield staging.path
    except BaseException:
        if fresh:
            for folder in (archive.images, archive.root):
                with suppress(OSError):  # it is not empty
                    folder.rmdir()
        raise


class _Pull:
    """One artifact on its way into an archive."""

    def __init__(
        self, remote: Registry, archive: Archive, packed: Packed, where: str, folder: Path, progress: Progress
    ) -> None:
        self.remote, self.archive, self.packed, self.where = remote, archive, packed, where
        self.folder, self.progress = folder, progress
        self.layout = folder / "layout"
        (self.layout / "blobs" / "sha256").mkdir(parents=True)
        self.bytes = 0

    def file(self, path: str) -> Path:
        """Where a layer that was brought is."""
        return self.layout / oci_layout.blob(self.packed.layers[path].digest)

    def metadata(self) -> tuple[Ref, Metadata]:
        paths = [path for path in self.packed.layers if _METADATA.fullmatch(path)]
        if len(paths) != 1:
            raise NotAModelPack(
                self.where,
                f"it holds {len(paths)} documents of timeproof's artifacts, not one: no answer is recorded",
            )
        data = self._document(paths[0])
        metadata = Metadata.parse(data, Path(paths[0]))
        ref = Ref(metadata.grid_size, metadata.framework.name, metadata.version, metadata.framework.tag or "")
        folder = ref.folder
        strangers = [f.path for f in metadata.files if owned_version(f.path.split("/")[0]) != ref.version]
        if strangers:  # they would lie where another artifact's files belong
            raise Malformed(
                f"{self.where}: {paths[0]}", [f"{folder}/{s} is no file of it" for s in strangers]
            )
        if ref.metadata != paths[0]:
            raise Malformed(f"{self.where}: {paths[0]}", [f"it describes {ref}, which lies elsewhere"])
        return ref, metadata

    def require_same(self, ref: Ref) -> None:
        path = self.archive.root / ref.metadata
        if path.read_bytes() != self.file(ref.metadata).read_bytes():
            error = Exists(path)
            error.advice = "the archive has another artifact of that name: pull into another archive"
            raise error

    def environment(self, metadata: Metadata) -> _Environment | None:
        """Bring the environment, with its packages and its image; None where the archive has it."""
        name = metadata.environment.name
        if name in self.archive.environment_names():
            present = read_environment(self.archive, name)
            _require_recorded(present, metadata)
            return None
        path = f"environments/{name}/image.json"
        record = EnvironmentRecord.parse(self._document(path), Path(path))
        if record.folder != name:
            raise Malformed(f"{self.where}: {path}", [f"it describes {record.folder}"])
        _require_recorded(record, metadata)
        manifest = f"images/{oci_layout.blob(record.image.manifest)}"
        self.bring([Claim(manifest, None, Digest.parse(record.image.manifest).hex)], LIMITS.json_bytes)
        config = f"images/{oci_layout.blob(record.image.config)}"
        self.bring([Claim(config, None, Digest.parse(record.image.config).hex)], LIMITS.json_bytes)
        actual = oci_layout.read_identity(self.layout, record.image.manifest)
        if actual != record.image:
            raise WrongImage("identity", record.image, actual)
        self.bring(
            [
                *environment_claims(record),
                *package_claims(record),
                *oci_layout.claims(self.layout, record.image),
            ]
        )
        return _Environment(self, record, [*package_claims(record)])

    def artifact(self, ref: Ref, metadata: Metadata) -> None:
        self.bring([*artifact_claims(ref, metadata), *emulator_claims(metadata)])

    def bring(self, claims: Iterable[Claim], limit: int = LIMITS.layer_bytes) -> None:
        """Fetch layers that documents name, each as it is recorded; what the archive has is not fetched."""
        wanted: dict[str, int] = {}
        for claim in claims:
            layer = self.packed.layers.get(claim.path)
            if layer is None:
                raise Malformed(self.where, [f"it lacks {claim.path}, which its documents name"])
            place = f"{self.where}: {claim.path}"
            if layer.digest != str(Digest(claim.sha256)):
                raise DigestMismatch(place, Digest(claim.sha256), layer.digest)
            if claim.size is not None and layer.size != claim.size:
                raise SizeMismatch(place, claim.size, layer.size)
            if not self._had(claim):
                wanted[layer.digest] = layer.size
        self.remote.bring_blobs(wanted, self.layout, limit=limit, progress=self.progress)
        self.bytes += sum(wanted.values())

    def _had(self, claim: Claim) -> bool:
        """Whether a file is here: brought already, or a package that the archive's store has."""
        target = self.layout / oci_layout.blob(f"sha256:{claim.sha256}")
        if target.exists():
            return True
        if not claim.path.startswith("packages/") or check_claim(self.archive.root, claim) is not None:
            return False
        shutil.copyfile(self.archive.root / claim.path, target)
        return True

    def _document(self, path: str) -> bytes:
        layer = self.packed.layers.get(path)
        if layer is None:
            raise Malformed(self.where, [f"it lacks {path}"])
        self.remote.bring_blobs({layer.digest: layer.size}, self.layout, limit=LIMITS.json_bytes)
        self.bytes += layer.size
        return self.file(path).read_bytes()

    def add_packages(self, claims: Iterable[Claim]) -> None:
        store = PackageStore(self.archive.packages)
        for claim in claims:
            name, digest = claim.path.rpartition("/")[2], Digest(claim.sha256)
            if not store.has(digest, name) or check_claim(self.archive.root, claim) is not None:
                store.add_file(self.file(claim.path), name, expected=digest)

    def publish(self, ref: Ref, metadata: Metadata) -> None:
        self.add_packages(emulator_claims(metadata))
        tag = metadata.framework.tag or ""
        with publish.draft(self.archive, ref.grid_size, ref.framework, ref.version, tag=tag) as draft:
            for file in metadata.files:
                target = draft.folder / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.file(f"{ref.folder}/{file.path}"), target)
            draft.add(metadata)
            (draft.folder / Path(ref.metadata).name).write_bytes(self.file(ref.metadata).read_bytes())
            draft.publish()


@dataclass(frozen=True, slots=True)
class _Environment:
    """An environment that was brought, and is not published yet."""

    pull: _Pull
    record: EnvironmentRecord
    packages: list[Claim]

    def publish(self) -> None:
        archive, record = self.pull.archive, self.record
        self.pull.add_packages(self.packages)
        named = [read_environment(archive, name).image for name in archive.environment_names()]
        oci_layout.add(archive.images, self._image(), record.image.manifest, named)
        with atomic.Staging(archive.environments, record.name) as staging:
            for file in record.files:
                target = staging.path / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.pull.file(f"environments/{record.folder}/{file.path}"), target)
            publish.publish_environment(archive, staging.path, record)

    def _image(self) -> Path:
        """A layout of the image alone: adding it empties it, and an artifact may have the same blobs."""
        layout = self.pull.folder / "image"
        (layout / "blobs" / "sha256").mkdir(parents=True)
        image = self.record.image
        blobs = [image.manifest, *(d for d, _ in oci_layout.descriptors(self.pull.layout, image))]
        for digest in dict.fromkeys(blobs):
            os.link(self.pull.layout / oci_layout.blob(digest), layout / oci_layout.blob(digest))
        return layout


def _require_recorded(record: EnvironmentRecord, metadata: Metadata) -> None:
    """Raise WrongImage unless an environment is the one that an artifact was sealed in."""
    wanted = metadata.environment
    advice = "the archive has another environment of that name: pull into another archive"
    pairs: Mapping[str, tuple[object, object]] = {
        "lock": (wanted.lock_sha256, record.lock_sha256),
        "list of layers (diff_ids)": (wanted.image.diff_ids, record.image.diff_ids),
        "config": (wanted.image.config, record.image.config),
    }
    for part, (expected, actual) in pairs.items():
        if expected != actual:
            raise WrongImage(part, expected, actual, advice=advice)
