"""A replay as a report: one cell an artifact, in its own environment. So it has every form of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timeproof.compare.verdict import Verdict
from timeproof.errors import BadArchive
from timeproof.frameworks.registry import frameworks_of
from timeproof.regression.report import Cell, Report, ReportedArtifact, ReportedEnvironment
from timeproof.replaying.provenance import Fingerprint
from timeproof.replaying.result import UNREADABLE, Replayed, Result
from timeproof.store.environment_contents import versions_of
from timeproof.store.layout import Archive
from timeproof.store.read import read_environment, read_metadata
from timeproof.store.schema.v1 import Metadata
from timeproof.version import VERSION


def report_of_replay(archive: Archive, result: Result, allowed: Verdict, *, strict: bool = False) -> Report:
    """Give a replay's result as a report; a cell fails where its artifact does not pass.

    Reads the metadata of each artifact, and each environment's record. What can't be read of them is left
    empty: the cell says why.
    """
    metadata = {str(r.ref): _metadata(archive, r) for r in result.replayed}
    machines: list[dict[str, Any]] = []
    cells = [
        _cell(replayed, metadata[str(replayed.ref)], machines, allowed, strict=strict)
        for replayed in result.replayed
    ]
    names = dict.fromkeys(c.environment for c in cells)
    rule = f"worse than {allowed}"
    return Report(
        schema=1,
        toolkit=VERSION,
        archive=archive.name,
        artifacts=[_artifact(r, metadata[str(r.ref)]) for r in result.replayed],
        environments=[_environment(archive, name, result.environments) for name in names],
        cells=cells,
        machines=machines,
        fail_on=f"{rule}, no witness counts" if strict else rule,
        passed=result.passes(allowed, strict=strict),
        notes=list(result.notes),
        run={"command": "replay", "seconds": round(sum(r.seconds for r in result.replayed), 1)},
    )


def _metadata(archive: Archive, replayed: Replayed) -> Metadata | None:
    try:
        return read_metadata(archive, replayed.ref)
    except BadArchive:
        return None


def _artifact(replayed: Replayed, metadata: Metadata | None) -> ReportedArtifact:
    ref = replayed.ref
    if metadata is None:
        return ReportedArtifact(
            ref=str(ref),
            framework=ref.framework,
            framework_version=None,
            python="",
            environment=UNREADABLE,
            profile="",
            created="",
        )
    return ReportedArtifact(
        ref=str(ref),
        framework=ref.framework,
        framework_version=metadata.framework.version,
        python=metadata.framework.python,
        environment=metadata.environment.name,
        profile=metadata.profile.name,
        created=metadata.created,
        origin=metadata.reference.origin,
        tags=metadata.tags,
    )


def _environment(archive: Archive, name: str, sources: Mapping[str, str]) -> ReportedEnvironment:
    empty: dict[str, Any] = {"frameworks": {}, "packages": {}, "dated": None}
    empty |= {"created": "", "manifest": "", "platform": ""}
    if name == UNREADABLE:
        return ReportedEnvironment(name=name, title=name, **empty)
    try:
        record = read_environment(archive, name)
    except BadArchive as error:
        return ReportedEnvironment(name=name, title=name, failure=error.message, **empty)
    return ReportedEnvironment(
        name=name,
        title=record.name,
        frameworks=frameworks_of(record),
        packages=versions_of(record),
        dated=None,
        created=record.created,
        manifest=record.image.manifest,
        platform=record.image.platform,
        source=sources.get(name, ""),
    )


def _cell(
    replayed: Replayed,
    metadata: Metadata | None,
    machines: list[dict[str, Any]],
    allowed: Verdict,
    *,
    strict: bool,
) -> Cell:
    return Cell(
        artifact=str(replayed.ref),
        environment=metadata.environment.name if metadata is not None else UNREADABLE,
        verdict=replayed.verdict,
        reason=replayed.reason,
        profile=replayed.profile or (metadata.profile.name if metadata is not None else ""),
        own=True,
        difference=replayed.diff.to_json() if replayed.diff is not None else None,
        facts=replayed.passing_facts(),
        notes=list(replayed.notes),
        log="" if replayed.verdict.graded else replayed.log,
        seconds=round(replayed.seconds, 3),
        machine=_machine_number(replayed.present, machines),
        fails=not replayed.passes(allowed, strict=strict),
    )


def _machine_number(present: Fingerprint | None, machines: list[dict[str, Any]]) -> int:
    """Where a machine stands in the report's list; it is added where it is new."""
    if present is None:
        machine: dict[str, Any] = {}
    else:
        fields = {"cpu": present.cpu, "arch": present.arch, "kernel": present.kernel, "libc": present.libc}
        machine = {name: value for name, value in fields.items() if value}
    if machine not in machines:
        machines.append(machine)
    return machines.index(machine)
