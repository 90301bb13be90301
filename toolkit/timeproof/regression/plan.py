"""What a regression will do: which artifacts go where, and what must be fetched and built before.

Reads the archive's contents, its environments and locks; fetches, builds and runs nothing.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.version import InvalidVersion, Version

from timeproof.base.digests import Digest
from timeproof.base.progress import SILENT, Progress
from timeproof.environments.lock.reading import read_lock
from timeproof.errors import BadArchive, BadRequest, NotFound, TimeproofError
from timeproof.frameworks.registry import frameworks_in, runs_code, spec_named
from timeproof.images.build import locate_environment
from timeproof.regression.batch import Batch
from timeproof.runs.environment_provider import by_name, read_lock_folder
from timeproof.store.environment_contents import versions, versions_of
from timeproof.store.index import ArtifactSummary, contents
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import read_metadata
from timeproof.store.schema.v1 import EnvironmentRecord, ProfileRecord

LOCKFILES = Path("lockfiles")
# Artifacts, below which a batch is not cut for a second worker: a container costs as much.
_WORTH_SHARING = 16
_MOST = 2048  # artifacts in one container


@dataclass(frozen=True, slots=True)
class PlannedEnvironment:
    """One environment of the grid: in the archive already, or a lock that is to be built."""

    title: str  # what people call it: the name, or the folder where two have one name
    frameworks: dict[str, str]
    dated: str | None
    record: EnvironmentRecord | None = None
    folder: Path | None = None  # with its lock
    missing: Mapping[Digest, int | None] = field(default_factory=dict)  # packages to fetch → their bytes
    in_store: int = 0  # bytes of the packages that the store has

    @property
    def order(self) -> tuple[object, ...]:
        """Environments stand by framework, then version, then date."""
        name, version = min(self.frameworks.items(), default=("~", "0"))
        return len(self.frameworks) > 1, name, version_key(version), self.dated or "", self.title

    @property
    def unique_title(self) -> str:
        """A title that no other environment has: its folder in the archive, or that of its lock."""
        return self.record.folder if self.record else str(self.folder)


def version_key(text: str) -> Version:
    """Parse a version, to sort by it; text that is no version counts as the oldest."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


@dataclass(slots=True)
class Plan:
    """A grid: every artifact meets every environment that holds its framework."""

    archive: Archive
    artifacts: list[ArtifactSummary]
    environments: list[PlannedEnvironment]
    findings: list[BadArchive] = field(default_factory=list)  # artifacts that can't be read

    def cells(self) -> Iterator[tuple[ArtifactSummary, PlannedEnvironment]]:
        """Every pair that makes sense, artifact by artifact."""
        for artifact in self.artifacts:
            for environment in self.environments:
                if artifact.ref.framework in environment.frameworks:
                    yield artifact, environment

    def count(self) -> int:
        """How many cells there are; without going through them."""
        artifacts = Counter(a.ref.framework for a in self.artifacts)
        return sum(artifacts[f] for e in self.environments for f in e.frameworks)

    def to_fetch(self) -> dict[Digest, int | None]:
        """Every package to fetch, once, whichever environments want it; and its bytes, where known."""
        sizes: dict[Digest, int | None] = {}
        for environment in self.environments:
            for digest, size in environment.missing.items():
                sizes[digest] = size if size is not None else sizes.get(digest)
        return sizes

    def by_framework(self, environment: PlannedEnvironment) -> dict[str, int]:
        """How many artifacts of each framework run in an environment."""
        artifacts = Counter(a.ref.framework for a in self.artifacts)
        return {f: artifacts[f] for f in sorted(environment.frameworks) if artifacts[f]}


def make_plan(
    archive: Archive,
    environments: Sequence[str] = (),
    artifacts: Sequence[str] = (),
    *,
    progress: Progress = SILENT,
) -> Plan:
    """Plan a regression.

    Args:
        environments: names in the archive, folders with a lock, or folders of such; by default every
            environment of the archive and of `lockfiles/`.
        artifacts: references, or patterns with `*`; by default all.

    Raises NotFound / BadRequest: nothing is named so, or nothing would be run.
    """
    archive.require()
    listed = contents(archive, progress=progress)
    chosen = _chosen_artifacts(listed.artifacts, artifacts, archive)
    progress.step("Looking at the environments")
    planned = _chosen_environments(archive, environments, _distributions(archive, chosen))
    if not planned:
        raise NotFound(
            f"{archive.root} holds no environment, and there is no {LOCKFILES}/",
            advice="name some with --env: folders with a conda-lock.yml, or names in the archive",
        )
    needed = {a.ref.framework for a in chosen}
    planned = [e for e in planned if needed & set(e.frameworks)]
    if not chosen or not planned:
        raise BadRequest(
            "no artifact fits any environment: there is nothing to run",
            advice="'timeproof ls' lists the artifacts and environments that there are",
        )
    return Plan(archive, chosen, sorted(planned, key=lambda e: e.order), listed.findings)


def _chosen_artifacts(
    artifacts: list[ArtifactSummary], wanted: Sequence[str], archive: Archive
) -> list[ArtifactSummary]:
    if not wanted:
        return artifacts
    names: set[str] = set()
    for text in wanted:
        if any(sign in text for sign in "*?["):
            hits = {str(a.ref) for a in artifacts if fnmatch.fnmatchcase(str(a.ref), text)}
            if not hits:
                raise NotFound(f"no artifact fits {text!r}", advice="'timeproof ls' lists what there is")
            names |= hits
        else:
            names.add(str(archive.locate(text)))
    return [a for a in artifacts if str(a.ref) in names]


def _chosen_environments(
    archive: Archive, wanted: Sequence[str], more: Mapping[str, Sequence[str]]
) -> list[PlannedEnvironment]:
    """Every environment once; those that share a title have one that tells them apart.

    Args:
        more: the distributions of frameworks that no plugin here registers.
    """
    names: list[str | Path] = list(wanted)
    if not names:
        names = [*archive.environment_names(), *([LOCKFILES] if LOCKFILES.is_dir() else [])]
    planned: dict[str, PlannedEnvironment] = {}
    for name in names:
        for environment in _environments_at(archive, name, more):
            planned.setdefault(environment.unique_title, environment)
    titles = Counter(e.title for e in planned.values())
    return [e if titles[e.title] == 1 else replace(e, title=e.unique_title) for e in planned.values()]


def _distributions(archive: Archive, artifacts: Sequence[ArtifactSummary]) -> dict[str, list[str]]:
    """What brings the frameworks that no plugin here registers, as their artifacts record it."""
    examples = {a.ref.framework: a.ref for a in artifacts if spec_named(a.ref.framework) is None}
    return {name: read_metadata(archive, ref).framework.distributions for name, ref in examples.items()}


def _environments_at(
    archive: Archive, name: str | Path, more: Mapping[str, Sequence[str]]
) -> list[PlannedEnvironment]:
    """What a name means: an environment of the archive, a folder with a lock, or a folder of such."""
    path = Path(name)
    if not path.is_dir():
        return [_of_record(archive, by_name(archive, str(name)), more)]
    if (path / "conda-lock.yml").is_file():
        return [_of_folder(archive, path, more)]
    folders = sorted(p.parent for p in path.glob("*/conda-lock.yml"))
    if not folders:
        raise NotFound(
            f"{path} holds no conda-lock.yml, nor folders that do",
            advice=f"make one with 'timeproof lock {path}'",
        )
    return [_of_folder(archive, folder, more) for folder in folders]


def _of_record(
    archive: Archive, record: EnvironmentRecord, more: Mapping[str, Sequence[str]]
) -> PlannedEnvironment:
    path = archive.environments / record.folder / "conda-lock.yml"
    dated = None
    with suppress(OSError, TimeproofError):  # only a date is lost: the run checks the environment
        dated = read_lock(path.read_bytes(), path).dated
    return PlannedEnvironment(record.name, frameworks_in(versions_of(record), more), dated, record)


def _of_folder(archive: Archive, folder: Path, more: Mapping[str, Sequence[str]]) -> PlannedEnvironment:
    folder = folder.resolve()
    lock, _ = read_lock_folder(folder)
    packages = lock.for_platform("linux-64")
    frameworks = frameworks_in(
        versions(("wheel" if p.manager == "pip" else "conda", p.name, p.version) for p in packages), more
    )
    if record := locate_environment(archive, folder.name, lock):
        return PlannedEnvironment(folder.name, frameworks, lock.dated, record, folder)
    store = PackageStore(archive.packages)
    stored = {
        p.sha256: path.stat().st_size
        for p in packages
        if (path := store.path(p.sha256, p.file_name)).is_file()
    }
    sizes = lock.sizes
    missing = {p.sha256: sizes.get(p.sha256) for p in packages if p.sha256 not in stored}
    return PlannedEnvironment(
        folder.name, frameworks, lock.dated, None, folder, missing, sum(stored.values())
    )


def batches_of(
    plan: Plan,
    records: Mapping[str, EnvironmentRecord],
    pending: Callable[[ArtifactSummary, PlannedEnvironment], bool],
    width: int,
) -> list[Batch]:
    """Cut what is pending into batches: one environment and one profile each, the largest first.

    What runs code of its own is in batches apart: each artifact of them takes a container for itself, so
    that they are worth sharing out from the second one on.

    Args:
        records: of each environment that could be had, by its title.
        width: how many run side by side; what one environment has too much of is cut into as many.
    """
    groups: dict[tuple[str, str, bool], list[ArtifactSummary]] = {}
    for artifact, environment in plan.cells():
        if environment.title in records and pending(artifact, environment):
            alone = runs_code(artifact.ref.framework)
            key = environment.title, artifact.profile_sha256, alone
            groups.setdefault(key, []).append(artifact)
    profiles: dict[str, ProfileRecord] = {}
    batches = []
    for (title, profile, alone), artifacts in groups.items():
        if profile not in profiles:
            profiles[profile] = read_metadata(plan.archive, artifacts[0].ref).profile
        names = [str(a.ref) for a in artifacts]
        worth = len(names) // (1 if alone else _WORTH_SHARING)
        count = max(1, min(width, worth), -(-len(names) // _MOST))
        for k in range(count):
            documents = tuple(a.ref.metadata for a in artifacts[k::count])
            folder, refs = records[title].folder, tuple(names[k::count])
            batches.append(Batch(folder, profiles[profile], refs, documents=documents))
    return sorted(batches, key=lambda b: -len(b.refs))


def cell_key(artifact: ArtifactSummary, record: EnvironmentRecord) -> str:
    """Identify a finished cell: it is valid for as long as none of these values changes."""
    image = record.image
    parts = (
        artifact.ref,
        artifact.checksum,
        artifact.profile_sha256,
        record.lock_sha256,
        image.manifest,
        image.config,
    )
    return Digest.of("\n".join(map(str, parts)).encode()).hex
