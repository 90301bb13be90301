"""What is asked of the probe for one artifact. A value: no IO here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.frameworks.registry import runs_code
from timeproof.store.schema.v1 import ArraySpec, FileEntry


@dataclass(frozen=True, slots=True)
class Task:
    """One artifact for the probe: where its files lie, and what its loader is told."""

    id: str
    framework: str
    folder: Path
    files: tuple[FileEntry, ...]  # what the container gets
    model: str
    inputs_file: str  # among `files`; of an .npz the container gets the inputs alone
    input_names: tuple[str, ...]
    options: Mapping[str, Any]
    copies: tuple[Mapping[str, Any], ...] = ()  # {name, framework, model, options, witness, timeout}
    witness: str | None = None  # how else than natively it is asked: see probe/wire.py
    # Output → SHA-256 of its bytes: where the answer is another, the model's file is saved again, too.
    recorded: Mapping[str, str] | None = None
    root: Path | None = None  # the folder below which no link is followed; None: `folder` itself
    inputs: tuple[ArraySpec, ...] = ()  # what the inputs must be; none where `inputs_file` is just written
    beside: tuple[FileEntry, ...] = ()  # files of the artifact that are hashed, and that no container gets

    @property
    def bytes(self) -> int:
        """How many bytes the container gets."""
        return sum(f.size for f in self.files)

    @property
    def runs_code(self) -> bool:
        """Whether code that the archive brings or names may run: then it has a container of its own.

        The loader of some frameworks calls what the archive names, whether the archive brings the source of
        that or not.
        """
        frameworks = (self.framework, *(str(copy.get("framework")) for copy in self.copies))
        return any(runs_code(framework) for framework in frameworks)
