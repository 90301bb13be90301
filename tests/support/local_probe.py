"""The real probe with the real frameworks, as a process of this machine: an engine without a container.

For what a model does when it is sealed; what a container adds is tested with containers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.faking import ended, on_host

import timeproof.probe
from timeproof.engines.protocol import RunResult, RunSpec

PROBE = Path(timeproof.probe.__file__).parent


def run(job: dict[str, Any], spec: RunSpec) -> tuple[bytes, RunResult]:
    """Answer a job as a container would: a script for `FakeEngine`."""
    for artifact in job["artifacts"]:
        artifact["directory"] = str(on_host(spec, artifact["directory"]))
    path = on_host(spec, "/job/job.json")
    path.write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-s", "-B", str(PROBE), str(path)],
        capture_output=True,
        env={**os.environ, **spec.env},
        check=False,
    )
    return done.stdout, ended(exit_code=done.returncode, log=done.stderr.decode("utf-8", "replace"))
