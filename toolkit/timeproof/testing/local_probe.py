"""The real probe with the real frameworks, as a process of this machine: an engine without a container.

For what a model does when it is sealed; what a container adds is tested with containers.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from timeproof.engines.protocol import RunResult, RunSpec
from timeproof.testing import probe_folder
from timeproof.testing.fake_engine import ended, on_host


def run(job: dict[str, Any], spec: RunSpec, *, probe: Path | None = None) -> tuple[bytes, RunResult]:
    """Answer a job as a container would: a script for `FakeEngine`.

    Args:
        probe: the folder that an image would hold; None for that of this process's frameworks.
    """
    for artifact in job["artifacts"]:
        artifact["directory"] = str(on_host(spec, artifact["directory"]))
    path = on_host(spec, "/job/job.json")
    path.write_text(json.dumps(job))
    done = subprocess.run(
        probe_folder.command(str(path), probe=probe),
        capture_output=True,
        env=probe_folder.environment(spec.env),
        check=False,
    )
    return done.stdout, ended(exit_code=done.returncode, log=done.stderr.decode("utf-8", "replace"))
