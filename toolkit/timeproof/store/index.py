"""A table of contents: one row an artifact, remembered between runs. For listing and planning only.

A row is taken from its metadata, parsed and checked, and noted with that file's size and times; while
they stay, it is not read again. What is loaded or run is read from the archive itself, and checked anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from multiprocessing import get_context
from operator import attrgetter
from pathlib import Path
from typing import Any

import orjson

from timeproof.base import atomic
from timeproof.base.cachedir import cache_folder
from timeproof.base.digests import Digest
from timeproof.base.paths import open_parent
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import BadArchive, StorageFailed
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.store.schema.v1 import Metadata

_SCHEMA = 1
_MANY = 2000  # unknown rows, from which on several processes read them
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class ArtifactSummary:
    """What listing and planning need of one artifact."""

    ref: Ref
    checksum: str  # of the metadata: whatever changes in the artifact changes it
    framework_version: str | None
    python: str
    kind: str | None  # the class, where there is one
    environment: str
    profile: str
    profile_sha256: str
    created: str
    bytes: int
    origin: str
    tags: dict[str, str]


_FIELDS = attrgetter(*(name for name in ArtifactSummary.__slots__ if name != "ref"))


@dataclass(slots=True)
class Contents:
    artifacts: list[ArtifactSummary] = field(default_factory=list)  # by grid size, framework, version
    findings: list[BadArchive] = field(default_factory=list)  # artifacts whose metadata can't be read


def summary_of(ref: Ref, metadata: Metadata) -> ArtifactSummary:
    """Take the summary out of an artifact's metadata."""
    profile = metadata.profile.model_dump_json().encode()
    return ArtifactSummary(
        ref=ref,
        checksum=metadata.digest.hex,
        framework_version=metadata.framework.version,
        python=metadata.framework.python,
        kind=metadata.model.qualname,
        environment=metadata.environment.name,
        profile=metadata.profile.name,
        profile_sha256=Digest.of(profile).hex,
        created=metadata.created,
        bytes=sum(f.size for f in metadata.files),
        origin=metadata.reference.origin,
        tags=metadata.tags,
    )


def contents(archive: Archive, refs: Sequence[Ref] | None = None, *, progress: Progress = SILENT) -> Contents:
    """List an archive's artifacts, all or those asked for. What can't be read is among the findings."""
    wanted = list(archive.refs()) if refs is None else list(refs)
    note = _note(archive)
    noted = _read_note(note)
    listing = Contents()
    entries: dict[str, list[Any]] = {}
    changed: list[tuple[Ref, str, list[int]]] = []
    root = os.fspath(archive.root)
    for ref in wanted:
        name = ref.metadata
        state = _state(f"{root}/{name}")
        entry = noted.get(name)
        if state and entry is not None and entry[:4] == state:
            entries[name] = entry
        else:
            changed.append((ref, name, state))
    if changed:
        progress.step(f"Reading the metadata of {len(changed)} artifacts")
        values: list[Any] | BadArchive
        for (_, name, state), values in zip(changed, _read(archive, [c[0] for c in changed]), strict=True):
            if isinstance(values, BadArchive):
                listing.findings.append(values)
            else:
                entries[name] = [*state, *values]
        _write_note(note, entries if refs is None else noted | entries)
    del noted
    listing.artifacts = [
        _summary(ref, entry) for ref in wanted if (entry := entries.get(ref.metadata)) is not None
    ]
    return listing


def _state(path: str) -> list[int]:
    """What changes when a file does; empty where there is none."""
    try:
        facts = os.lstat(path)
    except OSError:
        return []
    return [facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino]


def _read(archive: Archive, refs: Sequence[Ref]) -> Iterable[list[Any] | BadArchive]:
    workers = os.cpu_count() or 1
    if len(refs) < _MANY or workers < 2:
        yield from _read_some(archive.root, refs)
        return
    pieces = [refs[k : k + _CHUNK] for k in range(0, len(refs), _CHUNK)]
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once, not once in each process
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for some in pool.map(_read_some, [archive.root] * len(pieces), pieces):
            yield from some


def _read_some(root: Path, refs: Sequence[Ref]) -> list[list[Any] | BadArchive]:
    """Read some artifacts' summaries, as plain values: these cross between processes, and into the note."""
    archive = Archive(root)
    results: list[list[Any] | BadArchive] = []
    for _, group in groupby(refs, key=lambda ref: ref.folder):
        some = list(group)
        with _parent(root, some[0]) as parent:
            for ref in some:
                try:
                    results.append(list(_FIELDS(summary_of(ref, read_metadata(archive, ref, parent)))))
                except BadArchive as error:
                    results.append(error)
    return results


@contextmanager
def _parent(root: Path, ref: Ref) -> Iterator[int | None]:
    """The folder of `ref`, opened once for many; None where it can't be: each file's reader says why."""
    try:
        parent = open_parent(root, ref.metadata)
    except (BadArchive, OSError):
        yield None
        return
    try:
        yield parent
    finally:
        os.close(parent)


def _summary(ref: Ref, entry: Sequence[Any]) -> ArtifactSummary:
    # Thousands of rows name the same few environments, versions and profiles.
    shared: list[Any] = [sys.intern(v) if isinstance(v, str) and len(v) < 100 else v for v in entry[4:]]
    return ArtifactSummary(ref, *shared)


def _note(archive: Archive) -> Path:
    place = os.path.realpath(archive.root).encode("utf-8", "surrogateescape")
    return cache_folder("contents", f"{Digest.of(place).hex[:32]}.json")


def _read_note(path: Path) -> dict[str, list[Any]]:
    """Read what was noted. A damaged note, or one by another release, is none."""
    with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        note = orjson.loads(path.read_bytes())
        width = 4 + len(ArtifactSummary.__slots__) - 1
        if note["schema"] == _SCHEMA and note["fields"] == list(ArtifactSummary.__slots__):
            return {str(k): v for k, v in note["rows"].items() if isinstance(v, list) and len(v) == width}
    return {}


def _write_note(path: Path, rows: dict[str, list[Any]]) -> None:
    note = {"schema": _SCHEMA, "fields": list(ArtifactSummary.__slots__), "rows": rows}
    with suppress(StorageFailed, OSError):  # a cache: without it the next run reads everything again
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, orjson.dumps(note))
