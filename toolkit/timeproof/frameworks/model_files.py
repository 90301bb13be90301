"""What a model file of trees answers in the user's own Python, where its library is in use there.

A process of its own loads the file: a damaged one ends that process by a signal, and no other.
"""

from __future__ import annotations

import importlib
import io
import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timeproof import proc
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array
from timeproof.limits import LIMITS


def answers(framework: str, path: Path, given: object) -> dict[str, Array]:
    """Ask the Booster that the file makes, with the user's own table.

    Args:
        framework: the library, as it is imported.

    Raises:
        NotArchivable: the library is not in use in this process, or can't answer here.
    """
    if framework not in sys.modules:
        raise NotArchivable(
            f"{framework} is not in use in this process, which could ask {path}",
            advice=f"import {framework} before, to have its own answer compared",
        )
    try:
        question = pickle.dumps((str(path.resolve()), given))
    except Exception as error:  # whatever a table's own reduction raises
        raise NotArchivable(
            f"the inputs can't be handed to another process: {error}",
            advice="give them as an array or a table",
        ) from error
    done = proc.run(
        [sys.executable, "-m", __name__, framework],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
        stdin=question,
        timeout=LIMITS.artifact_seconds,
        check=False,
        stdout_limit=LIMITS.output_bytes,
    )
    if done.exit_code != 0:
        last = done.tail.strip().splitlines()[-1:] or [f"it ended with {done.exit_code}"]
        raise NotArchivable(
            f"{path} gives no answer in this Python: {last[0][:500]}",
            advice="give the file as the library wrote it, and inputs of the shape that it was trained on",
        )
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as store:
        return {name: store[name] for name in store.files}


def _answer(framework: str) -> None:
    """Read the question, and write the answers as an .npz; what the library prints goes to stderr."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    path, given = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own process, by a pipe
    choose: Any = importlib.import_module("timeproof.frameworks.choose")
    library: Any = importlib.import_module(framework)
    adapter = choose.adapter_named(framework)
    booster = library.Booster(model_file=path)
    found: Mapping[str, Array] = adapter.answers(booster, adapter.inputs(booster, given), None)
    with os.fdopen(stdout, "wb") as stream:
        np.savez(stream, allow_pickle=False, **found)


if __name__ == "__main__":
    _answer(sys.argv[1])
