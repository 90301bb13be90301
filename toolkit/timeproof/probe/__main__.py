"""The probe: `python -s <this folder> job.json` replays the job's artifacts and tells what they answered.

Frames go to stdout (see `wire`), everything that anybody prints goes to stderr. Exit code 0 means that
every artifact has a result, whatever it is; 2 that the job can't be read; 3 that what an artifact left
can't be removed, so that the ones after it were not asked; 124 that its time was over.

`--artifact metadata_pt_v1.json` asks that one artifact instead, and gives plain files (see `plain`).
"""

import os
import platform
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, Dict, List, Optional

if TYPE_CHECKING:
    from timeproof.probe import guard, leftovers, machine, plain, supervisor, warmed, wire
    from timeproof.probe import job as jobs
else:
    import guard
    import job as jobs
    import leftovers
    import machine
    import plain
    import supervisor
    import warmed
    import wire


def _frameworks(job: Dict[str, Any]) -> List[str]:
    """Name the frameworks that the job needs, in the order of their first use."""
    found: List[str] = []
    for artifact in job["artifacts"]:
        for task in [artifact] + artifact["copies"]:
            if task["framework"] not in found:
                found.append(task["framework"])
    return found


class Servers:
    """The warmed servers. All import at once, so that a second core is of use, and stay to the end."""

    def __init__(self, job: Dict[str, Any]) -> None:
        self._job = job
        self._servers: Dict[str, warmed.Server] = {}
        self._used = False  # whether an artifact has run
        guard.adopt_orphans()
        for framework in _frameworks(job):
            self._servers[framework] = warmed.Server(job, framework)

    def run(self, index: int, copy: Optional[int], out: BinaryIO) -> Dict[str, Any]:
        """Run one task; its outputs go to `out`, its outcome comes back."""
        artifact = self._job["artifacts"][index]
        task = artifact if copy is None else artifact["copies"][copy]
        framework = task["framework"]
        if self._used:
            self._settle()
        ours = self._servers[framework]
        ours.warm(max(artifact["timeout"], warmed.IMPORT_SECONDS))
        if ours.failure is not None:
            failed: Dict[str, Any] = {"signal": None, "versions": {}, "seconds": 0.0, "log": ours.log.text()}
            failed.update(ours.failure)
            return failed
        runner = "native" if copy is None else artifact["copies"][copy]["name"]
        timeout = task.get("timeout", artifact["timeout"])
        self._used = True
        run = supervisor.Run(ours, index, copy, timeout, artifact["output_bytes"])
        outcome = run.follow(out, {"id": artifact["id"], "runner": runner})
        if run.lost:
            ours.close()
        return outcome

    def _settle(self) -> None:
        """Remove all that an artifact left, before the next one is asked. Raises leftovers.Unclean.

        A server that died of it is started again once nobody is left who could look into it.
        """
        self._end_others()
        for ours in self._servers.values():
            ours.go_on()
        leftovers.remove_shared()
        used = leftovers.used_folders()
        if used:  # an import may have files of its own there: wait for its end
            for ours in self._servers.values():
                ours.warm(warmed.IMPORT_SECONDS)
            self._end_others()
            for folder in used:
                leftovers.clean(folder)
        for framework, ours in self._servers.items():
            if ours.is_dead():
                ours.close()
                self._servers[framework] = warmed.Server(self._job, framework)

    def _end_others(self) -> None:
        """End every process but this one and the servers, and what those need that still import."""
        there = list(self._servers.values())
        try:
            leftovers.end_processes([s.pid for s in there], [s.pid for s in there if s.importing])
        except leftovers.Unclean:
            leftovers.end_all()

    def close(self) -> None:
        for ours in self._servers.values():
            ours.close()
        try:
            leftovers.end_processes([])
        except leftovers.Unclean:
            pass


def _result(servers: Servers, index: int, artifact: Dict[str, Any], out: BinaryIO) -> Dict[str, Any]:
    outcome = servers.run(index, None, out)
    result = dict(outcome, kind="result", id=artifact["id"], copies={})
    for k, copy in enumerate(artifact["copies"]):
        # Altered files are nobody's to load; anything else that befell the native model says nothing here.
        if outcome["status"] == "altered":
            told: Dict[str, Any] = {"status": "altered", "reason": outcome["reason"]}
        else:
            told = servers.run(index, k, out)
            result["versions"] = dict(told.pop("versions"), **result["versions"])
        result["copies"][copy["name"]] = told
    return result


def _plain(path: str) -> int:
    """Ask the one artifact whose metadata lies at `path`."""
    metadata = plain.read_metadata(path)
    plain.enter_profile(metadata)
    guard.private()
    job = plain.job_of(metadata, os.path.dirname(os.path.abspath(path)))
    with os.fdopen(_private(), "wb") as out:
        guard.end_after(job["seconds"])
        servers = Servers(job)
        try:
            return plain.give(lambda frames: servers.run(0, None, frames), out)
        finally:
            servers.close()


def _private() -> int:
    """Take stdout away from libraries, which print to it, before any is loaded; give it to the caller."""
    private = os.dup(1)
    os.dup2(2, 1)
    return private


def main(arguments: List[str]) -> int:
    if len(arguments) == 2 and arguments[0] == "--artifact":
        try:
            return _plain(arguments[1])
        except (jobs.BadJob, OSError) as error:
            print("{} can't be asked: {}".format(arguments[1], error), file=sys.stderr)
            return 2
    guard.private()
    private = _private()
    try:
        job = jobs.read(arguments[0] if len(arguments) == 1 else "/job/job.json")
    except (jobs.BadJob, OSError) as error:
        print("the job can't be read: {}".format(error), file=sys.stderr)
        return 2
    if job["seconds"] is not None:
        guard.end_after(job["seconds"])
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


if __name__ == "__main__":
    sys.stdout = sys.stderr
    sys.exit(main(sys.argv[1:]))
