"""Which piece goes to which worker next, and what becomes of one whose worker died. No IO, no clock.

Laws: whatever dies, fails or comes twice, every artifact ends as known or as lost; one that was on its way
when `attempts` workers died is lost, and is then given to nobody; nobody waits for a piece that nobody has.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from timeproof.regression.batch import Batch, lost_cells
from timeproof.regression.report import Cell

ATTEMPTS = 3  # times that an artifact may take a worker with it, or that a piece may fail

_Key = tuple[str, str]  # artifact, environment


class BatchQueue:
    """Batches that wait, that are out, and what is known of their artifacts."""

    def __init__(self, batches: Sequence[Batch], *, attempts: int = ATTEMPTS) -> None:
        self._attempts = attempts
        self._waiting = deque(sorted(batches, key=lambda b: -len(b.refs)))
        self._out: list[Batch] = []
        self._known: set[_Key] = set()
        self._deaths: Counter[_Key] = Counter()
        self._without: dict[str, dict[str, str]] = {}  # environment → worker → why it has no image there

    @property
    def done(self) -> bool:
        return not self._waiting and not self._out

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def know(self, artifact: str, environment: str) -> None:
        """A cell came, from whomever."""
        self._known.add((artifact, environment))

    def take(self, worker: str) -> Batch | None:
        """The next piece for a worker: none that it could not get the image of."""
        for batch in self._waiting:
            if worker not in self._without.get(batch.environment, {}):
                self._waiting.remove(batch)
                now = self._left(batch)
                if now is None:
                    return self.take(worker)
                self._out.append(now)
                return now
        return None

    def returned(self, batch: Batch) -> None:
        """A piece came back through nobody's fault: its connection was lost."""
        self._back(batch)

    def finished(self, batch: Batch) -> list[Cell]:
        """A piece was run to its end. What it did not answer counts as failed."""
        return self.failed(batch, "the worker ended without an answer for it")

    def failed(self, batch: Batch, reason: str) -> list[Cell]:
        """A piece ended early, its worker well: it is tried again, a bounded number of times."""
        self._out.remove(batch)
        left = self._left(batch)
        if left is None:
            return []
        if batch.attempt >= self._attempts:
            return self._lose(left, left.refs, reason)
        again = Batch(left.environment, left.profile, left.refs, batch.attempt + 1)
        self._waiting.append(again)
        return []

    def died(self, batch: Batch, reason: str) -> list[Cell]:
        """The worker died on a piece: the artifact that it was at goes alone from now on.

        Artifacts are run in the piece's order, so the first without an answer was under way.
        """
        self._out.remove(batch)
        left = self._left(batch)
        if left is None:
            return []
        suspect, *others = left.refs
        key = suspect, left.environment
        self._deaths[key] += 1
        if others:
            self._waiting.append(Batch(left.environment, left.profile, tuple(others), batch.attempt))
        if self._deaths[key] >= self._attempts:
            return self._lose(left, [suspect], f"{reason}, {self._deaths[key]} times")
        self._waiting.append(Batch(left.environment, left.profile, (suspect,), self._deaths[key] + 1))
        return []

    def without_image(self, batch: Batch, worker: str, reason: str) -> None:
        """A worker can't get the image of a piece's environment: others may."""
        self._without.setdefault(batch.environment, {})[worker] = reason
        self._back(batch)

    def hopeless(self, workers: Iterable[str]) -> dict[str, tuple[str, list[Cell]]]:
        """The environments whose image none of `workers` can get: why, and their cells, lost."""
        here = set(workers)
        found: dict[str, tuple[str, list[Cell]]] = {}
        for batch in list(self._waiting):
            why = self._without.get(batch.environment, {})
            if here and here <= set(why):
                self._waiting.remove(batch)
                reason = next(why[w] for w in sorted(here))
                known = found.setdefault(batch.environment, (reason, []))
                if left := self._left(batch):
                    known[1].extend(self._lose(left, left.refs, reason))
        return found

    def _back(self, batch: Batch) -> None:
        self._out.remove(batch)
        if left := self._left(batch):
            self._waiting.appendleft(left)

    def _left(self, batch: Batch) -> Batch | None:
        """What of a batch is not known yet."""
        refs = tuple(r for r in batch.refs if (r, batch.environment) not in self._known)
        if not refs:
            return None
        return batch if refs == batch.refs else Batch(batch.environment, batch.profile, refs, batch.attempt)

    def _lose(self, batch: Batch, names: Sequence[str], reason: str) -> list[Cell]:
        cells = lost_cells(batch, names, reason)
        self._known.update(c.key for c in cells)
        return cells
