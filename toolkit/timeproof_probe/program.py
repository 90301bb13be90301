"""The program: it reads a job, has each of its artifacts run, and writes their outputs and results.

The argument is the job's file (by default /job/job.json). Frames go to stdout (see `wire`), everything that
anybody prints goes to stderr. Exit code 0: every artifact has a result, whatever it is. 2: the job can't be
read. 3: something that an artifact left can't be removed, and the artifacts after it were not run. 124: the
time was over.

`--artifact metadata_pt_v1.json` runs that one artifact instead, and gives plain files (see `standalone`).
"""

import os
import platform
import sys
from typing import Any, BinaryIO, Dict, List

from timeproof_probe import job as jobs
from timeproof_probe import leftovers, machine, prctl, standalone, wire
from timeproof_probe.servers import Servers


def _result(servers: Servers, index: int, artifact: Dict[str, Any], out: BinaryIO) -> Dict[str, Any]:
    outcome = servers.run(index, None, out)
    result = dict(outcome, kind="result", id=artifact["id"], copies={})
    for k, copy in enumerate(artifact["copies"]):
        # Altered files may not be loaded; any other failure of the native model says nothing about a copy.
        if outcome["status"] == "altered":
            copy_outcome: Dict[str, Any] = {"status": "altered", "reason": outcome["reason"]}
        else:
            copy_outcome = servers.run(index, k, out)
            result["versions"] = dict(copy_outcome.pop("versions"), **result["versions"])
        result["copies"][copy["name"]] = copy_outcome
    return result


def _plain(path: str) -> int:
    """Run the one artifact whose metadata lies at `path`."""
    metadata = standalone.read_metadata(path)
    standalone.enter_profile(metadata)
    prctl.private()
    job = standalone.job_of(metadata, os.path.dirname(os.path.abspath(path)))
    with os.fdopen(_private(), "wb") as out:
        prctl.end_after(job["seconds"])
        servers = Servers(job)
        try:
            return standalone.give(lambda frames: servers.run(0, None, frames), out)
        finally:
            servers.close()


def _private() -> int:
    """Keep stdout for the caller: libraries, which print to it, get stderr in its place."""
    private = os.dup(1)
    os.dup2(2, 1)
    return private


def main(arguments: List[str]) -> int:
    if len(arguments) == 2 and arguments[0] == "--artifact":
        try:
            return _plain(arguments[1])
        except (jobs.BadJob, OSError) as error:
            print("{} can't be run: {}".format(arguments[1], error), file=sys.stderr)
            return 2
    prctl.private()
    private = _private()
    try:
        job = jobs.read(arguments[0] if len(arguments) == 1 else "/job/job.json")
    except (jobs.BadJob, OSError) as error:
        print("the job can't be read: {}".format(error), file=sys.stderr)
        return 2
    if job["seconds"] is not None:
        prctl.end_after(job["seconds"])
    with os.fdopen(private, "wb") as out:
        hello = {"kind": "hello", "contract": wire.CONTRACT, "python": platform.python_version()}
        wire.write_frame(out, dict(hello, machine=machine.describe(), witnesses=list(wire.WITNESSES)))
        servers = Servers(job)
        try:
            for index, artifact in enumerate(job["artifacts"]):
                wire.write_frame(out, _result(servers, index, artifact, out))
        except leftovers.Unclean as error:
            print(error, file=sys.stderr)
            return 3
        finally:
            servers.close()
        wire.write_frame(out, {"kind": "done"})
    return 0
