"""Which batch goes to which worker next, and what becomes of one whose worker died. No IO, no clock.

Laws: whatever dies, fails or comes twice, every artifact ends as known or as lost. One that was under way
when `attempts` workers died is lost, and goes to no worker any more. The queue is done once no batch waits
and none is with a worker.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from timeproof.regression.batch import Batch, lost_cells
from timeproof.regression.report import Cell

ATTEMPTS = 3  # times that an artifact may take a worker with it, or that a batch may fail

_Key = tuple[str, str]  # artifact, environment


class BatchQueue:
    """Batches that wait, batches that are with a worker, and which artifacts are done."""

    def __init__(self, batches: Sequence[Batch], *, attempts: int = ATTEMPTS) -> None:
        self._attempts = attempts
        self._waiting = deque(sorted(batches, key=lambda b: -len(b.refs)))
        self._out: list[Batch] = []
        self._finished: set[_Key] = set()
        self._deaths: Counter[_Key] = Counter()
        self._no_image: dict[str, dict[str, str]] = {}  # environment → worker → why it has no image there

    @property
    def done(self) -> bool:
        return not self._waiting and not self._out

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def know(self, artifact: str, environment: str) -> None:
        """A cell came, from any worker."""
        self._finished.add((artifact, environment))

    def take(self, worker: str) -> Batch | None:
        """The next batch for a worker: none whose image it could not get."""
        for batch in self._waiting:
            if worker not in self._no_image.get(batch.environment, {}):
                self._waiting.remove(batch)
                rest = self._unfinished(batch)
                if rest is None:
                    return self.take(worker)
                self._out.append(rest)
                return rest
        return None

    def returned(self, batch: Batch) -> None:
        """A batch came back by no fault of its own or its worker's: the connection was lost."""
        self._put_back(batch)

    def finished(self, batch: Batch) -> list[Cell]:
        """A batch was run to its end. What it did not answer counts as failed."""
        return self.failed(batch, "the worker ended without an answer for it")

    def failed(self, batch: Batch, reason: str) -> list[Cell]:
        """A batch ended early, its worker well: it is tried again, a bounded number of times."""
        self._out.remove(batch)
        rest = self._unfinished(batch)
        if rest is None:
            return []
        if batch.attempt >= self._attempts:
            return self._lose(rest, rest.refs, reason)
        self._waiting.append(Batch(rest.environment, rest.profile, rest.refs, batch.attempt + 1))
        return []

    def died(self, batch: Batch, reason: str) -> list[Cell]:
        """The worker died on a batch: the artifact that it was running goes alone from now on.

        Artifacts are run in the batch's order, so the first without an answer was under way.
        """
        self._out.remove(batch)
        rest = self._unfinished(batch)
        if rest is None:
            return []
        suspect, *innocent = rest.refs
        key = suspect, rest.environment
        self._deaths[key] += 1
        if innocent:
            self._waiting.append(Batch(rest.environment, rest.profile, tuple(innocent), batch.attempt))
        if self._deaths[key] >= self._attempts:
            return self._lose(rest, [suspect], f"{reason}, {self._deaths[key]} times")
        self._waiting.append(Batch(rest.environment, rest.profile, (suspect,), self._deaths[key] + 1))
        return []

    def without_image(self, batch: Batch, worker: str, reason: str) -> None:
        """A worker can't get the image of a batch's environment: other workers may."""
        self._no_image.setdefault(batch.environment, {})[worker] = reason
        self._put_back(batch)

    def hopeless(self, workers: Iterable[str]) -> dict[str, tuple[str, list[Cell]]]:
        """The environments whose image none of `workers` can get: why, and their cells, lost."""
        present = set(workers)
        hopeless: dict[str, tuple[str, list[Cell]]] = {}
        for batch in list(self._waiting):
            reasons = self._no_image.get(batch.environment, {})
            if present and present <= set(reasons):
                self._waiting.remove(batch)
                reason = next(reasons[w] for w in sorted(present))
                _, cells = hopeless.setdefault(batch.environment, (reason, []))
                if rest := self._unfinished(batch):
                    cells.extend(self._lose(rest, rest.refs, reason))
        return hopeless

    def _put_back(self, batch: Batch) -> None:
        self._out.remove(batch)
        if rest := self._unfinished(batch):
            self._waiting.appendleft(rest)

    def _unfinished(self, batch: Batch) -> Batch | None:
        """The artifacts of a batch that have no cell yet; None where all have one."""
        refs = tuple(r for r in batch.refs if (r, batch.environment) not in self._finished)
        if not refs:
            return None
        return batch if refs == batch.refs else Batch(batch.environment, batch.profile, refs, batch.attempt)

    def _lose(self, batch: Batch, names: Sequence[str], reason: str) -> list[Cell]:
        cells = lost_cells(batch, names, reason)
        self._finished.update(c.key for c in cells)
        return cells
