"""The flow of a regression: see to the environments, run what is missing, assemble the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from timeproof.base.clock import utc_now
from timeproof.base.progress import SILENT, Progress
from timeproof.compare.verdict import Verdict
from timeproof.errors import EngineLost, EngineMissing, TimeproofError
from timeproof.regression.batch import Batch, lost_cells
from timeproof.regression.collector import Collector
from timeproof.regression.executors.protocol import Executor
from timeproof.regression.history import with_histories
from timeproof.regression.journal import Journal
from timeproof.regression.plan import Plan, PlannedEnvironment, batches_of, cell_key
from timeproof.regression.report import Cell, Report, ReportedArtifact, ReportedEnvironment
from timeproof.runs.environment_provider import from_lock_folder
from timeproof.store.environment_contents import versions_of
from timeproof.store.index import ArtifactSummary
from timeproof.store.layout import Archive
from timeproof.store.schema.v1 import EnvironmentRecord, ProfileRecord
from timeproof.version import VERSION


@dataclass(slots=True)
class _Place:
    """What became of one column."""

    column: PlannedEnvironment
    record: EnvironmentRecord | None
    source: str = ""
    failure: str = ""


def prepare(
    archive: Archive,
    columns: Sequence[PlannedEnvironment],
    *,
    engine_version: str,
    builders: int,
    progress: Progress = SILENT,
) -> tuple[dict[str, EnvironmentRecord], dict[str, str]]:
    """Fetch and build every column that the archive doesn't hold yet, several at once.

    Returns the records by title, and why the others could not be had. Raises EngineLost / EngineMissing.
    """

    def one(column: PlannedEnvironment) -> EnvironmentRecord | str:
        if column.record is not None:
            return column.record
        assert column.folder is not None
        try:
            return from_lock_folder(archive, column.folder, engine_version=engine_version, progress=progress)
        except (EngineLost, EngineMissing):
            raise
        except TimeproofError as error:
            return f"{error.kind}: {error.message}"

    with ThreadPoolExecutor(max(1, builders)) as pool:
        found = dict(zip((c.title for c in columns), pool.map(one, columns), strict=True))
    records = {title: r for title, r in found.items() if isinstance(r, EnvironmentRecord)}
    return records, {title: r for title, r in found.items() if isinstance(r, str)}


def regress(
    plan: Plan,
    executor: Executor,
    journal: Journal,
    *,
    engine_version: str = "",
    on_cell: Callable[[Cell, int, int], None] = lambda *_: None,
    progress: Progress = SILENT,
) -> Report:
    """Run a plan to its end, and assemble what was found; nothing is judged yet.

    Every cell of the plan is in the report, whatever happened to it. Cells that the journal holds, and
    that stand for the same artifact in the same environment still, are not run again.

    Args:
        on_cell: called with each finished cell, how many are done, and how many there are.

    Raises EngineLost / EngineMissing: the journal keeps what was finished.
    """
    begun = time.monotonic()
    started = utc_now()
    records, failures = prepare(
        plan.archive,
        plan.environments,
        engine_version=engine_version,
        builders=executor.width,
        progress=progress,
    )
    places = {
        c.title: _Place(c, records.get(c.title), failure=failures.get(c.title, "")) for c in plan.environments
    }
    by_folder = {r.folder: t for t, r in records.items()}
    total = plan.count()
    keys: dict[tuple[str, str], str] = {
        (str(row.ref), records[c.title].folder): cell_key(row, records[c.title])
        for row, c in plan.cells()
        if c.title in records
    }

    def keep(cell: Cell, machine: Mapping[str, Any]) -> None:
        if cell.key in keys:
            journal.add(keys[cell.key], cell, machine)
        on_cell(cell, len(collector.cells), total)

    collector = Collector(keep)
    for entry in journal.entries:
        if keys.get(entry.cell.key) == entry.key and entry.cell.verdict is not Verdict.lost:
            collector.remember(entry.cell, entry.machine)
    resumed = len(collector.cells)

    def pending(row: ArtifactSummary, column: PlannedEnvironment) -> bool:
        return (str(row.ref), records[column.title].folder) not in collector.cells

    def provided(folder: str, source: str, failure: str) -> None:
        place = places[by_folder[folder]]
        place.source, place.failure = source, failure

    batches = batches_of(plan, records, pending, executor.width)
    progress.step(f"Running {total - resumed} of {total} cells")
    if batches:
        executor.run(batches, {r.folder: r for r in records.values()}, collector.deliver, provided)
    for row, column in plan.cells():
        place = places[column.title]
        folder = place.record.folder if place.record else column.title
        if (str(row.ref), folder) not in collector.cells:
            batch = Batch(folder, _unknown(row), (str(row.ref),))
            for cell in lost_cells(batch, batch.refs, place.failure or "it was not run"):
                collector.deliver(cell, {})
    journal.done()
    report = _assemble(plan, places, collector)
    run = {
        "started": started,
        "seconds": round(time.monotonic() - begun, 1),
        "executor": executor.name,
        "side_by_side": executor.width,
        "resumed": resumed,
    }
    return with_histories(report.model_copy(update={"run": run}))


def _unknown(row: ArtifactSummary) -> ProfileRecord:
    return ProfileRecord(name=row.profile, threads=None, variables={})


def _assemble(plan: Plan, places: Mapping[str, _Place], collector: Collector) -> Report:
    cells = []
    for row, column in plan.cells():
        place = places[column.title]
        folder = place.record.folder if place.record else column.title
        cells.append(collector.cells[str(row.ref), folder])
    notes = [f"{f.kind}: {f.message}" for f in plan.findings]
    return Report(
        schema=1,
        toolkit=VERSION,
        archive=plan.archive.name,
        artifacts=[_subject(r) for r in plan.artifacts],
        environments=[_site(p) for p in places.values()],
        cells=cells,
        machines=collector.machines,
        notes=notes,
    )


def _subject(row: ArtifactSummary) -> ReportedArtifact:
    return ReportedArtifact(
        ref=str(row.ref),
        framework=row.ref.framework,
        framework_version=row.framework_version,
        python=row.python,
        environment=row.environment,
        profile=row.profile,
        created=row.created,
        origin=row.origin,
        tags=row.tags,
    )


def _site(place: _Place) -> ReportedEnvironment:
    column, record = place.column, place.record
    return ReportedEnvironment(
        name=record.folder if record else column.title,
        title=column.title,
        frameworks=column.frameworks,
        packages=versions_of(record) if record else {},
        dated=column.dated,
        created=record.created if record else "",
        manifest=record.image.manifest if record else "",
        platform=record.image.platform if record else "",
        source=place.source,
        failure=place.failure,
    )
