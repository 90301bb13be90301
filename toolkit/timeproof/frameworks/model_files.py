"""What a model file answers in the user's own Python, where its library is in use there.

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
from types import SimpleNamespace
from typing import Any

import numpy as np

from timeproof.base import proc
from timeproof.base.limits import LIMITS
from timeproof.errors import NotArchivable
from timeproof.frameworks.base import Array, NoRuntime
from timeproof.frameworks.registry import module_of


def answers(framework: str, path: Path, inputs: object, options: Mapping[str, object]) -> dict[str, Array]:
    """Ask the model that the file holds, with the user's own inputs.

    Args:
        options: what the loader in the container is told of the file.

    Raises:
        NoRuntime: the library is not in use in this process.
        NotArchivable: the file gives no answer here.
    """
    library = module_of(framework)
    if library not in sys.modules:
        raise NoRuntime(
            f"{library} is not in use in this process, which could ask {path}",
            advice=f"import {library} before, or hand in the answer that you know: expected=…",
        )
    try:
        question = pickle.dumps((str(path.resolve()), inputs, dict(options)))
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
    path, original, options = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own process, by a pipe
    registry: Any = importlib.import_module("timeproof.frameworks.registry")
    inputs: Any = importlib.import_module("timeproof.frameworks.inputs")
    adapter = registry.adapter_named(framework)
    model = adapter.load_file(Path(path))
    arrays = inputs.read_inputs(adapter, model, original)
    outputs: Mapping[str, Array] = adapter.answers(model, arrays, SimpleNamespace(options=options))
    with os.fdopen(stdout, "wb") as stream:
        np.savez(stream, allow_pickle=False, **outputs)


if __name__ == "__main__":
    _answer(sys.argv[1])
