"""What every run of a replay needs, and what it gives: one value each. No IO here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from timeproof.base.limits import LIMITS, Limits
from timeproof.base.progress import SILENT, Progress
from timeproof.engines.protocol import Engine
from timeproof.replaying.result import Replayed
from timeproof.store.layout import Archive, Ref
from timeproof.store.schema.v1 import Metadata, ProfileRecord


@dataclass(frozen=True, slots=True)
class RunContext:
    """The archive, the engine with its image, and the settings under which artifacts run."""

    archive: Archive
    engine: Engine
    image: str  # as the engine knows it
    profile: ProfileRecord
    limits: Limits = LIMITS
    progress: Progress = SILENT


class JudgedArtifact(NamedTuple):
    """An artifact, and what its replay gave."""

    ref: Ref
    metadata: Metadata
    result: Replayed
