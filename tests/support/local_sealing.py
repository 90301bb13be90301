"""Archive a live model into an environment that is there already; the probe runs here, in no container."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from timeproof.store.layout import Archive
from timeproof.store.verify import verify
from timeproof.testing.archives import publish_environment

_COUNT = itertools.count()


def with_onnxruntime(archive: Archive) -> str:
    """Publish an environment that holds onnxruntime, for copies; give its name."""
    return publish_environment(archive, "exports", "onnxruntime-1.32.0").folder


def nothing_published(archive: Archive, framework: str) -> bool:
    """Whether no artifact of that framework is there at grid size 8, and nothing is left over."""
    report = verify(archive)
    return report.ok and not report.leftovers and not list(archive.versions(8, framework))


@contextmanager
def modules_in(folder: Path) -> Iterator[Callable[[str], ModuleType]]:
    """Give a function that writes a module's source into `folder` under a new name, and imports it."""
    names: list[str] = []
    sys.path.insert(0, str(folder))

    def write(source: str) -> ModuleType:
        name = f"user_module_{next(_COUNT)}"
        (folder / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        names.append(name)
        return importlib.import_module(name)

    try:
        yield write
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
