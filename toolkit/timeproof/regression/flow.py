"""The flow of a regression: build the environments, run what is missing, assemble the report."""

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
class _EnvironmentState:
    """What became of one environment of the plan."""

    planned: PlannedEnvironment
    record: EnvironmentRecord | None = None
    source: str = ""
    failure: str = ""

    @property
    def name(self) -> str:
        """What its cells call it: its folder in the archive; its title where it could not be had."""
        return self.record.folder if self.record else self.planned.title


def prepare(
    archive: Archive,
    environments: Sequence[PlannedEnvironment],
    *,
    engine_version: str,
    builders: int,
    progress: Progress = SILENT,
) -> tuple[dict[str, EnvironmentRecord], dict[str, str]]:
    """Fetch and build every environment that the archive doesn't hold yet, several at once.

    Returns the records by title, and why the others could not be had. Raises EngineLost / EngineMissing.
    """

    def build(environment: PlannedEnvironment) -> EnvironmentRecord | str:
        if environment.record is not None:
            return environment.record
        assert environment.folder is not None
        try:
            return from_lock_folder(
                archive, environment.folder, engine_version=engine_version, progress=progress
            )
        except (EngineLost, EngineMissing):
            raise
        except TimeproofError as error:
            return f"{error.kind}: {error.message}"

    with ThreadPoolExecutor(max(1, builders)) as pool:
        built = dict(zip((e.title for e in environments), pool.map(build, environments), strict=True))
    records = {title: r for title, r in built.items() if isinstance(r, EnvironmentRecord)}
    return records, {title: r for title, r in built.items() if isinstance(r, str)}


def regress(
    plan: Plan,
    executor: Executor,
    journal: Journal,
    *,
    engine_version: str = "",
    on_cell: Callable[[Cell, int, int], None] = lambda *_: None,
    progress: Progress = SILENT,
) -> Report:
    """Run a plan to its end, and assemble the report; nothing is judged yet.

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
    run = _Run(plan, records, failures, journal, on_cell)
    resumed = run.resume()
    progress.step(f"Running {run.total - resumed} of {run.total} cells")
    run.execute(executor)
    run.lose_the_rest()
    journal.done()
    facts = {
        "started": started,
        "seconds": round(time.monotonic() - begun, 1),
        "executor": executor.name,
        "side_by_side": executor.width,
        "resumed": resumed,
    }
    return with_histories(run.report().model_copy(update={"run": facts}))


class _Run:
    """One run of a plan: its environments, its cells, and the journal that keeps them."""

    def __init__(
        self,
        plan: Plan,
        records: Mapping[str, EnvironmentRecord],
        failures: Mapping[str, str],
        journal: Journal,
        on_cell: Callable[[Cell, int, int], None],
    ) -> None:
        self._plan, self._records, self._journal = plan, records, journal
        self._on_cell = on_cell
        self.total = plan.count()
        self._states = {
            e.title: _EnvironmentState(e, records.get(e.title), failure=failures.get(e.title, ""))
            for e in plan.environments
        }
        self._by_folder = {r.folder: self._states[title] for title, r in records.items()}
        self._keys = {
            (str(artifact.ref), records[e.title].folder): cell_key(artifact, records[e.title])
            for artifact, e in plan.cells()
            if e.title in records
        }
        self._collector = Collector(self._keep)

    def resume(self) -> int:
        """Take the journal's cells that are still valid; how many they are."""
        for entry in self._journal.entries:
            if self._keys.get(entry.cell.key) == entry.key and entry.cell.verdict is not Verdict.lost:
                self._collector.remember(entry.cell, entry.machine)
        return len(self._collector.cells)

    def execute(self, executor: Executor) -> None:
        """Run what is missing, where its environment could be had."""
        batches = batches_of(self._plan, self._records, self._is_pending, executor.width)
        if batches:
            records = {r.folder: r for r in self._records.values()}
            executor.run(batches, records, self._collector.deliver, self._provided)

    def lose_the_rest(self) -> None:
        """Deliver a lost cell for every artifact and environment that has no cell."""
        for artifact, environment in self._plan.cells():
            state = self._states[environment.title]
            name = str(artifact.ref)
            if (name, state.name) not in self._collector.cells:
                batch = Batch(state.name, _unknown_profile(artifact), (name,))
                for cell in lost_cells(batch, batch.refs, state.failure or "it was not run"):
                    self._collector.deliver(cell, {})

    def report(self) -> Report:
        """The report of all cells, in the order of artifacts, then environments."""
        cells = [
            self._collector.cells[str(artifact.ref), self._states[environment.title].name]
            for artifact, environment in self._plan.cells()
        ]
        return Report(
            schema=1,
            toolkit=VERSION,
            archive=self._plan.archive.name,
            artifacts=[_reported_artifact(a) for a in self._plan.artifacts],
            environments=[_reported_environment(s) for s in self._states.values()],
            cells=cells,
            machines=self._collector.machines,
            notes=[f"{f.kind}: {f.message}" for f in self._plan.findings],
        )

    def _keep(self, cell: Cell, machine: Mapping[str, Any]) -> None:
        if cell.key in self._keys:
            self._journal.add(self._keys[cell.key], cell, machine)
        self._on_cell(cell, len(self._collector.cells), self.total)

    def _is_pending(self, artifact: ArtifactSummary, environment: PlannedEnvironment) -> bool:
        return (str(artifact.ref), self._records[environment.title].folder) not in self._collector.cells

    def _provided(self, folder: str, source: str, failure: str) -> None:
        state = self._by_folder[folder]
        state.source, state.failure = source, failure


def _unknown_profile(artifact: ArtifactSummary) -> ProfileRecord:
    return ProfileRecord(name=artifact.profile, threads=None, variables={})


def _reported_artifact(artifact: ArtifactSummary) -> ReportedArtifact:
    return ReportedArtifact(
        ref=str(artifact.ref),
        framework=artifact.ref.framework,
        framework_version=artifact.framework_version,
        python=artifact.python,
        environment=artifact.environment,
        profile=artifact.profile,
        created=artifact.created,
        origin=artifact.origin,
        tags=artifact.tags,
    )


def _reported_environment(state: _EnvironmentState) -> ReportedEnvironment:
    planned, record = state.planned, state.record
    return ReportedEnvironment(
        name=state.name,
        title=planned.title,
        frameworks=planned.frameworks,
        packages=versions_of(record) if record else {},
        dated=planned.dated,
        created=record.created if record else "",
        manifest=record.image.manifest if record else "",
        platform=record.image.platform if record else "",
        source=state.source,
        failure=state.failure,
    )
