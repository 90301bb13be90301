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
from timeproof.frameworks.registry import frameworks_in, frameworks_of, runs_code
from timeproof.images.build import locate_environment
from timeproof.regression.batch import Batch
from timeproof.runs.environment_provider import by_name, read_lock_folder
from timeproof.store.environment_contents import versions
from timeproof.store.index import ArtifactSummary, contents
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.schema.v1 import EnvironmentRecord, ProfileRecord
from timeproof.store.verify import read_metadata

LOCKFILES = Path("lockfiles")
_PIECE = 16  # artifacts, below which a batch is not cut for a second worker: a container costs as much
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
        """Columns stand by framework, then version, then date."""
        name, version = min(self.frameworks.items(), default=("~", "0"))
        return len(self.frameworks) > 1, name, version_key(version), self.dated or "", self.title


def version_key(text: str) -> Version:
    """A version that can be compared; what is none counts as the oldest."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


@dataclass(slots=True)
class Plan:
    """A grid: every row meets every column that holds its framework."""

    archive: Archive
    artifacts: list[ArtifactSummary]
    environments: list[PlannedEnvironment]
    findings: list[BadArchive] = field(default_factory=list)  # artifacts that can't be read

    def cells(self) -> Iterator[tuple[ArtifactSummary, PlannedEnvironment]]:
        """Every pair that makes sense, row by row."""
        for row in self.artifacts:
            for column in self.environments:
                if row.ref.framework in column.frameworks:
                    yield row, column

    def count(self) -> int:
        """How many cells there are; without going through them."""
        rows = Counter(r.ref.framework for r in self.artifacts)
        return sum(rows[f] for c in self.environments for f in c.frameworks)

    def to_fetch(self) -> dict[Digest, int | None]:
        """Every package to fetch, once, whichever environments want it; and its bytes, where known."""
        found: dict[Digest, int | None] = {}
        for column in self.environments:
            for digest, size in column.missing.items():
                found[digest] = size if size is not None else found.get(digest)
        return found

    def by_framework(self, column: PlannedEnvironment) -> dict[str, int]:
        rows = Counter(r.ref.framework for r in self.artifacts)
        return {f: rows[f] for f in sorted(column.frameworks) if rows[f]}


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
    found = contents(archive, progress=progress)
    rows = _chosen(found.artifacts, artifacts, archive)
    progress.step("Looking at the environments")
    columns = _columns(archive, environments)
    if not columns:
        raise NotFound(
            f"{archive.root} holds no environment, and there is no {LOCKFILES}/",
            advice="name some with --env: folders with a conda-lock.yml, or names in the archive",
        )
    needed = {r.ref.framework for r in rows}
    columns = [c for c in columns if needed & set(c.frameworks)]
    if not rows or not columns:
        raise BadRequest(
            "no artifact fits any environment: there is nothing to run",
            advice="'timeproof ls' lists the artifacts and environments that there are",
        )
    return Plan(archive, rows, sorted(columns, key=lambda c: c.order), found.findings)


def _chosen(rows: list[ArtifactSummary], wanted: Sequence[str], archive: Archive) -> list[ArtifactSummary]:
    if not wanted:
        return rows
    names: set[str] = set()
    for text in wanted:
        if any(sign in text for sign in "*?["):
            hits = {str(r.ref) for r in rows if fnmatch.fnmatchcase(str(r.ref), text)}
            if not hits:
                raise NotFound(f"no artifact fits {text!r}", advice="'timeproof ls' lists what there is")
            names |= hits
        else:
            names.add(str(archive.locate(text)))
    return [r for r in rows if str(r.ref) in names]


def _columns(archive: Archive, wanted: Sequence[str]) -> list[PlannedEnvironment]:
    named: list[str | Path] = list(wanted)
    if not named:
        named = [*archive.environment_names(), *([LOCKFILES] if LOCKFILES.is_dir() else [])]
    found: dict[str, PlannedEnvironment] = {}
    for one in named:
        path = Path(one)
        if not path.is_dir():
            columns = [_of_record(archive, by_name(archive, str(one)))]
        elif (path / "conda-lock.yml").is_file():
            columns = [_of_folder(archive, path)]
        else:
            folders = sorted(p.parent for p in path.glob("*/conda-lock.yml"))
            if not folders:
                raise NotFound(
                    f"{path} holds no conda-lock.yml, nor folders that do",
                    advice=f"make one with 'timeproof lock {path}'",
                )
            columns = [_of_folder(archive, folder) for folder in folders]
        for column in columns:
            found.setdefault(_longer(column), column)
    titles = Counter(c.title for c in found.values())
    return [c if titles[c.title] == 1 else replace(c, title=_longer(c)) for c in found.values()]


def _longer(column: PlannedEnvironment) -> str:
    """What tells a column from another of its name: its folder in the archive, or that of its lock."""
    return column.record.folder if column.record else str(column.folder)


def _of_record(archive: Archive, record: EnvironmentRecord) -> PlannedEnvironment:
    path = archive.environments / record.folder / "conda-lock.yml"
    dated = None
    with suppress(OSError, TimeproofError):  # only a date: whoever runs it checks the environment, and says
        dated = read_lock(path.read_bytes(), path).dated
    return PlannedEnvironment(record.name, frameworks_of(record), dated, record)


def _of_folder(archive: Archive, folder: Path) -> PlannedEnvironment:
    folder = folder.resolve()
    lock, _ = read_lock_folder(folder)
    packages = lock.for_platform("linux-64")
    held = frameworks_in(
        versions(("wheel" if p.manager == "pip" else "conda", p.name, p.version) for p in packages)
    )
    if record := locate_environment(archive, folder.name, lock):
        return PlannedEnvironment(folder.name, held, lock.dated, record, folder)
    store = PackageStore(archive.packages)
    there = {
        p.sha256: path.stat().st_size
        for p in packages
        if (path := store.path(p.sha256, p.file_name)).is_file()
    }
    sizes = lock.sizes
    missing = {p.sha256: sizes.get(p.sha256) for p in packages if p.sha256 not in there}
    return PlannedEnvironment(folder.name, held, lock.dated, None, folder, missing, sum(there.values()))


def batches_of(
    plan: Plan,
    records: dict[str, EnvironmentRecord],
    pending: Callable[[ArtifactSummary, PlannedEnvironment], bool],
    width: int,
) -> list[Batch]:
    """Cut what is pending into batches: one environment and one profile each, the largest first.

    What runs code of its own is in batches apart: each artifact of them takes a container for itself, so
    that they are worth sharing out from the second one on.

    Args:
        records: of each column's title that could be built.
        width: how many run side by side; what one environment has too much of is cut into as many.
    """
    groups: dict[tuple[str, str, bool], list[ArtifactSummary]] = {}
    for row, column in plan.cells():
        if column.title in records and pending(row, column):
            alone = runs_code(row.ref.framework)
            groups.setdefault((column.title, row.profile_sha256, alone), []).append(row)
    profiles: dict[str, ProfileRecord] = {}
    found = []
    for (title, key, alone), rows in groups.items():
        if key not in profiles:
            profiles[key] = read_metadata(plan.archive, rows[0].ref).profile
        names = [str(r.ref) for r in rows]
        pieces = max(1, min(width, len(names) // (1 if alone else _PIECE)), -(-len(names) // _MOST))
        for k in range(pieces):
            found.append(Batch(records[title].folder, profiles[key], tuple(names[k::pieces])))
    return sorted(found, key=lambda b: -len(b.refs))


def cell_key(row: ArtifactSummary, record: EnvironmentRecord) -> str:
    """What a finished cell stands for: it is good for as long as none of this changes."""
    image = record.image
    told = (row.ref, row.checksum, row.profile_sha256, record.lock_sha256, image.manifest, image.config)
    return Digest.of("\n".join(map(str, told)).encode()).hex
