"""What a regression asks of an executor, which runs its batches: this machine, or a cluster. No IO here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from timeproof.regression.batch import Batch
from timeproof.regression.report import Cell
from timeproof.store.schema.v1 import EnvironmentRecord

Deliver = Callable[[Cell, Mapping[str, Any]], None]
"""Takes a cell, with what its container says of its machine; from any thread, and more than once."""

Provided = Callable[[str, str, str], None]
"""Takes an environment's folder, where its image came from, and why it can't be had ("" where it can)."""


class Executor(Protocol):
    """Runs batches somewhere.

    Laws: every artifact of every batch is delivered at least once, whatever happens, unless `run`
    raises; a cell whose answer is unknown is `lost`, after bounded attempts, and never a pass.
    """

    name: str

    @property
    def width(self) -> int:
        """How many batches run side by side: what is more than this is cut into as many batches."""

    def run(
        self,
        batches: Sequence[Batch],
        records: Mapping[str, EnvironmentRecord],
        deliver: Deliver,
        provided: Provided,
    ) -> None:
        """Run every batch, the largest first.

        Args:
            records: of every environment that a batch names.

        Raises EngineLost / EngineMissing where nothing at all can run; what was delivered stays so.
        """
