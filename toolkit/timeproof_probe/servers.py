"""The warmed servers of a job, one for each framework, and the order that is made between two artifacts."""

from typing import Any, BinaryIO, Dict, List, Optional

from timeproof_probe import leftovers, prctl, server_client, supervisor


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
        self._servers: Dict[str, server_client.Server] = {}
        self._used = False  # whether an artifact has run
        prctl.adopt_orphans()
        for framework in _frameworks(job):
            self._servers[framework] = server_client.Server(job, framework)

    def run(self, index: int, copy: Optional[int], out: BinaryIO) -> Dict[str, Any]:
        """Run one task; its outputs go to `out`, its outcome comes back."""
        artifact = self._job["artifacts"][index]
        task = artifact if copy is None else artifact["copies"][copy]
        framework = task["framework"]
        if self._used:
            self._settle()
        ours = self._servers[framework]
        ours.warm(max(artifact["timeout"], server_client.IMPORT_SECONDS))
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
                ours.warm(server_client.IMPORT_SECONDS)
            self._end_others()
            for folder in used:
                leftovers.clean(folder)
        for framework, ours in self._servers.items():
            if ours.is_dead():
                ours.close()
                self._servers[framework] = server_client.Server(self._job, framework)

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
