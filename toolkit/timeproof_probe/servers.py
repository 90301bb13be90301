"""The fork servers of a job, one for each framework, and the cleaning between two artifacts."""

from typing import Any, BinaryIO, Dict, List, Optional

from timeproof_probe import leftovers, prctl, server_client, supervisor


def _frameworks(job: Dict[str, Any]) -> List[str]:
    """Name the frameworks that the job needs, in the order of their first use."""
    names: List[str] = []
    for artifact in job["artifacts"]:
        for task in [artifact] + artifact["copies"]:
            if task["framework"] not in names:
                names.append(task["framework"])
    return names


class Servers:
    """The fork servers. All import at the same time, so that a second core is used, and run to the end."""

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
        server = self._servers[framework]
        server.warm(max(artifact["timeout"], server_client.IMPORT_SECONDS))
        if server.failure is not None:
            failure: Dict[str, Any] = {
                "signal": None,
                "versions": {},
                "seconds": 0.0,
                "log": server.log.text(),
            }
            failure.update(server.failure)
            return failure
        runner = "native" if copy is None else artifact["copies"][copy]["name"]
        timeout = task.get("timeout", artifact["timeout"])
        self._used = True
        run = supervisor.Run(server, index, copy, timeout, artifact["output_bytes"])
        outcome = run.follow(out, {"id": artifact["id"], "runner": runner})
        if run.lost:
            server.close()
        return outcome

    def _settle(self) -> None:
        """Remove all that an artifact left, before the next one is run. Raises leftovers.Unclean.

        A server that died of it is started again, once no process runs that could look into it.
        """
        self._end_others()
        for server in self._servers.values():
            server.go_on()
        leftovers.remove_shared()
        used = leftovers.used_folders()
        if used:  # an import may have files of its own there: wait for its end
            for server in self._servers.values():
                server.warm(server_client.IMPORT_SECONDS)
            self._end_others()
            for folder in used:
                leftovers.clean(folder)
        for framework, server in self._servers.items():
            if server.is_dead():
                server.close()
                self._servers[framework] = server_client.Server(self._job, framework)

    def _end_others(self) -> None:
        """End every process but this one, the servers, and the children of those that still import."""
        servers = list(self._servers.values())
        try:
            leftovers.end_processes([s.pid for s in servers], [s.pid for s in servers if s.importing])
        except leftovers.Unclean:
            leftovers.end_all()

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        try:
            leftovers.end_processes([])
        except leftovers.Unclean:
            pass
