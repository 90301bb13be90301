"""The probe as an image holds it, in a folder of this machine, and the image's own command line to run it."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

from timeproof.frameworks.registry import specs
from timeproof.images.dockerfile import VARIABLES
from timeproof.images.probe_files import ENTRYPOINT, gather_probe

# An interpreter's options, as in the image: what stands between the interpreter and the probe's folder.
OPTIONS = ENTRYPOINT[1:-1]


def write(folder: Path, **changed: str) -> Path:
    """Write the probe with every framework's loader into `folder`, which is empty or absent.

    Args:
        changed: framework → text that follows its loader's own.
    """
    files = gather_probe({spec.name: spec.probe for spec in specs() if spec.probe is not None})
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for framework, text in changed.items():
        with (folder / "timeproof_probe/loaders" / framework / "load.py").open("a") as stream:
            stream.write(text)
    return folder


@functools.cache
def shared() -> Path:
    """The probe, written once; this process removes it at its end."""
    folder = Path(tempfile.mkdtemp(prefix="timeproof-probe-"))
    weakref.finalize(write, shutil.rmtree, folder, ignore_errors=True)
    return write(folder)


def command(*arguments: str, python: str = sys.executable, probe: Path | None = None) -> list[str]:
    """The command line that runs the probe."""
    return [python, *OPTIONS, str(probe or shared()), *arguments]


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment under the image's variables; what it tells Python is left out."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    image = {name: value for name, value in VARIABLES.items() if name != "PATH"}
    return {**plain, **image, **(variables or {})}
