"""The job of the probe for one artifact. A value: no IO here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.frameworks.registry import runs_code
from timeproof.store.schema.v1 import ArraySpec, FileEntry


@dataclass(frozen=True, slots=True)
class Task:
    """One artifact for the probe: where its files are, and the options of its loader."""

    id: str
    framework: str
    folder: Path
    files: tuple[FileEntry, ...]  # what the container gets
    model: str
    inputs_file: str  # among `files`; from an .npz the container gets only the inputs
    input_names: tuple[str, ...]
    options: Mapping[str, Any]
    copies: tuple[Mapping[str, Any], ...] = ()  # {name, framework, model, options, witness, timeout}
    witness: str | None = None  # another way to run it than natively: see timeproof_probe.wire
    # Output → SHA-256 of its bytes: where the model gives other bytes, its file is also saved again.
    recorded: Mapping[str, str] | None = None
    root: Path | None = None  # the folder below which no link is followed; None: `folder` itself
    inputs: tuple[ArraySpec, ...] = ()  # the recorded inputs; empty where `inputs_file` was just written
    beside: tuple[FileEntry, ...] = ()  # files of the artifact that are hashed, but that no container gets

    @property
    def bytes(self) -> int:
        """The number of bytes that the container gets."""
        return sum(f.size for f in self.files)

    @property
    def runs_code(self) -> bool:
        """Whether code that the archive contains or names may run: then it gets a container of its own.

        The loaders of some frameworks call what the archive names, whether or not the archive contains its
        source.
        """
        frameworks = (self.framework, *(str(copy.get("framework")) for copy in self.copies))
        return any(runs_code(framework) for framework in frameworks)
