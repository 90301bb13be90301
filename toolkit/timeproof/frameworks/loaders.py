"""Where the loader of each framework lies, which runs its models in the container, and what brings it.

What such a folder must hold: `timeproof_probe.loaders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from timeproof.store.environment_contents import FRAMEWORKS

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class LoaderFolder:
    """One framework's loader; it goes into the image of an environment with one of `distributions`."""

    distributions: tuple[str, ...]  # as indexes and conda channels spell them
    folder: Path


LOADERS: Mapping[str, LoaderFolder] = {
    framework: LoaderFolder(names, _HERE / framework / "probe") for framework, names in FRAMEWORKS.items()
}
