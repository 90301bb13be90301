"""What the user's own installation answers for a model file, before it is archived.

Only where their process has imported what runs such files: then the file is theirs to run. It is asked in a
child process, by the probe's own loader and without a numeric profile, so that a file that crashes ends that
child alone. The command line imports no framework, so it never asks.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timeproof.probe
from timeproof import proc, strictjson
from timeproof.archive import writer
from timeproof.archive.reference import Array
from timeproof.engine.base import RunResult
from timeproof.errors import ToolFailed
from timeproof.frameworks.base import NoRuntime, Saved
from timeproof.limits import Limits
from timeproof.probe import wire
from timeproof.replay.outcome import Distrust, Outcome, ProbeRun, Reader
from timeproof.replay.own_answer import library_of


def ask(
    folder: Path, inputs_file: str, names: Sequence[str], saved: Saved, limits: Limits
) -> dict[str, Array]:
    """Give the answer of this process's own runtime for a model file that was copied into `folder`.

    Args:
        inputs_file: the .npz with the inputs, beside it; `names` are the model's own, in its order.
        saved: what was written of the file; its loader's options count.

    Raises:
        NoRuntime: this process has not imported what runs such files, or the file does not answer there.
    """
    library = library_of(saved.framework)
    if library not in sys.modules:
        raise NoRuntime(
            f"this process has not imported {library}", advice="hand in the answer that you know: --expected"
        )
    outcome = _run(_job(folder, inputs_file, names, saved, limits), limits)
    if outcome.failure is not None:
        raise NoRuntime(f"{library} in your environment does not answer: {outcome.reason}"[:500])
    return outcome.native


def _run(job: dict[str, Any], limits: Limits) -> Outcome:
    run = ProbeRun({"own": Outcome("own")}, {}, RunResult(None, False, False, "", 0.0))
    probe = Path(timeproof.probe.__file__).parent
    with tempfile.TemporaryDirectory(prefix="timeproof-own-") as scratch:
        file = Path(scratch, "job.json")
        file.write_bytes(strictjson.dumps(job))
        try:
            done = proc.run(
                [sys.executable, "-s", "-B", probe, file],
                timeout=2 * limits.artifact_seconds,
                stdout_limit=limits.output_bytes + limits.frame_header_bytes,
            )
            Reader(run, {"own": {"native"}}, limits, lambda _: None)(_exactly(done.stdout))
        except (ToolFailed, Distrust, wire.WireError, EOFError) as error:
            raise NoRuntime(f"it gave no answer: {error}"[:500]) from error
    return run.outcomes["own"]


def _exactly(data: bytes) -> Any:
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        part = stream.read(size)
        if len(part) != size:
            raise EOFError("the answer ends early")
        return part

    return read


def _job(
    folder: Path, inputs_file: str, names: Sequence[str], saved: Saved, limits: Limits
) -> dict[str, Any]:
    paths = [f.path for f in saved.files if f.role in {"model", "external"}]
    entries = [writer.entry(folder, path, "own", "own") for path in (*paths, inputs_file)]
    return {
        "contract": wire.CONTRACT,
        "threads": None,
        "artifacts": [
            {
                "id": "own",
                "framework": saved.framework,
                "directory": str(folder),
                "files": [{"path": e.path, "size": e.size, "sha256": e.sha256} for e in entries],
                "model": saved.model,
                "inputs": {"file": inputs_file, "names": list(names)},
                "options": dict(saved.options),
                "timeout": limits.artifact_seconds,
                "output_bytes": limits.output_bytes,
            }
        ],
    }
