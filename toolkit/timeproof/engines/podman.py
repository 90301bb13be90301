"""podman by its command line: no daemon, no socket. Knows podman's options and answers; decides nothing."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from timeproof.base import proc, streaming, strictjson
from timeproof.base.atomic import storage
from timeproof.engines import ownership_labels, platforms
from timeproof.engines.protocol import (
    NOT_STARTED,
    ULIMITS,
    USER,
    ImageFacts,
    ReadExactly,
    RunResult,
    RunSpec,
)
from timeproof.errors import EngineFailed, EngineMissing, ToolFailed, ToolMissing

_ADVICE = "install podman 4 or newer ('apt-get install podman' on Debian and Ubuntu)"
_PROCESSES = 4096  # of user 65534 on the whole machine; by default podman asks for more than many grant
# Its own network needs programs that many machines lack; without one it takes the user's (slirp, pasta).
_NETWORKS = {"none": "none", "bridge": "private", "host": "host"}
_ABSENT = ("no such", "not known", "no container")  # how podman says that it has none
# How its several releases say that the image's program can't be started.
_NOT_STARTABLE = (
    "attempted to invoke a command that was not found",
    "OCI permission denied",
    "OCI runtime permission denied",
)
_SECONDS = 120.0  # for a command that runs no container


class Podman:
    """podman's command line. See `engines.protocol.Engine`."""

    name = "podman"
    builds = False  # it holds no BuildKit

    def __init__(self, program: str = "podman") -> None:
        self._words = [program, *_machine_options()]
        self._reaped = False

    def caveats(self) -> tuple[str, ...]:
        return ()

    def _call(self, *words: str | Path, check: bool = True, timeout: float = _SECONDS) -> proc.Completed:
        try:
            return proc.run([*self._words, *words], timeout=timeout, check=check, advice=_ADVICE)
        except ToolMissing as error:
            raise EngineMissing(error.message, advice=_ADVICE) from error
        except ToolFailed as error:
            raise EngineFailed(f"podman refused: {error.tail[-1000:]}") from error

    def _query(self, *words: str) -> Any:
        """Podman's answer in JSON; None where it has no such image or container."""
        completed = self._call(*words, check=False)
        if completed.exit_code:
            if any(phrase in completed.tail for phrase in _ABSENT):
                return None
            raise EngineFailed(f"podman refused: {completed.tail[-1000:]}")
        return strictjson.loads(completed.stdout, "podman")

    def version(self) -> dict[str, str]:
        client = self._query("version", "--format", "json")["Client"]
        return {
            "engine": "podman",
            "version": str(client["Version"]),
            "arch": platforms.architecture(str(client["OsArch"]).split("/")[-1]),
        }

    def inspect(self, image: str) -> ImageFacts | None:
        images = self._query("image", "inspect", image)
        if not images:
            return None
        (facts,) = images
        platform = f"{facts['Os']}/{facts['Architecture']}"
        if facts.get("Variant"):
            platform += f"/{facts['Variant']}"
        return ImageFacts(f"sha256:{facts['Id']}", tuple(facts["RootFS"]["Layers"]), platform)

    def load(self, archive: Iterable[bytes]) -> None:
        with tempfile.TemporaryDirectory(prefix="timeproof-load-") as name:
            path = Path(name) / "image.tar"
            with storage(path), path.open("wb") as file:
                for piece in archive:
                    file.write(piece)
            self._call("load", "--quiet", "--input", path, timeout=1800.0)

    def drop(self, image: str) -> None:
        if self._query("image", "inspect", image):
            self._call("rmi", "--force", image)

    def reap(self) -> int:
        removed = 0
        label = f"label={ownership_labels.LABEL}"
        for container in self._query("ps", "--all", "--filter", label, "--format", "json") or ():
            if ownership_labels.is_stray(container.get("Labels") or {}):
                self._remove(str(container["Id"]))
                removed += 1
        return removed

    def _remove(self, container: str) -> None:
        self._call("rm", "--force", "--time", "0", container, check=False)

    def run(self, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        if not self._reaped:
            self._reaped = True
            self.reap()
        facts = self.inspect(spec.image)
        foreign = facts is not None and platforms.emulated(self.version()["arch"], facts.platform)
        platform = facts.platform if facts is not None and foreign else ""
        container = self._call("create", *_create(spec, platform)).stdout.decode().strip()
        try:
            return self._attended(container, spec, consume)
        finally:
            with suppress(EngineFailed):
                self._remove(container)

    def _attended(self, container: str, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        with tempfile.TemporaryDirectory(prefix="timeproof-podman-") as name:
            followed = streaming.follow(
                [*self._words, "start", "--attach", "--sig-proxy=false", container],
                consume,
                end=lambda: self._kill(container),
                timeout=spec.timeout,
                cwd=Path(name),
                advice=_ADVICE,
            )
            # conmon 2.1 notes a kill for want of memory where it was started, and podman looks elsewhere.
            noted = Path(name, "oom").exists()
        containers = self._query("container", "inspect", container)
        state = containers[0]["State"] if containers else {}
        exit_code = state.get("ExitCode", followed.exit_code)
        if followed.exit_code == 125 or state.get("Error"):
            if not any(phrase in followed.tail for phrase in _NOT_STARTABLE):
                raise EngineFailed(f"podman refused: {state.get('Error') or followed.tail[-1000:]}")
            exit_code = NOT_STARTED
        return RunResult(
            exit_code=exit_code,
            oom_killed=bool(state.get("OOMKilled")) or noted,
            timed_out=followed.late,
            log=followed.tail,
            seconds=followed.seconds,
        )

    def _kill(self, container: str) -> None:
        self._call("kill", container, check=False)


def _machine_options() -> list[str]:
    """The options without which podman does not run on some machines."""
    words = []
    if not Path("/run/systemd/system").exists():
        words += ["--cgroup-manager", "cgroupfs"]
    # crun refuses control groups of version 1 beside version 2.
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists() and shutil.which("runc", path=_path()):
        words += ["--runtime", "runc"]
    return words


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _create(spec: RunSpec, platform: str) -> list[str]:
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    processes = _PROCESSES if most == resource.RLIM_INFINITY else min(most, _PROCESSES)
    words = ["--pull", "never", "--network", _NETWORKS[spec.network]]
    words += ["--read-only", "--read-only-tmpfs=false"]
    words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", f"{USER}:{USER}"]
    words += ["--tmpfs", f"/tmp:{spec.tmp_options}", "--workdir", "/tmp"]  # noqa: S108  the container's own
    words += ["--pids-limit", str(spec.pids), "--memory", str(spec.memory), "--memory-swap", str(spec.memory)]
    for name, bound in {**ULIMITS, "nproc": processes}.items():
        words += ["--ulimit", f"{name}={bound}:{bound}"]
    words += ["--log-driver", "none", "--no-hosts", "--no-healthcheck"]
    for name, value in ownership_labels.labels(spec.timeout).items():
        words += ["--label", f"{name}={value}"]
    for mount in spec.mounts:
        if "," in str(mount.source.resolve()):
            raise EngineFailed(f"podman can't mount {mount.source}: its path holds a comma")
        words += ["--mount", f"type=bind,source={mount.source.resolve()},target={mount.target},readonly"]
    for name, value in spec.env.items():
        words += ["--env", f"{name}={value}"]
    if platform:
        words += ["--platform", platform]
    if spec.entrypoint is not None:
        words += ["--entrypoint", strictjson.compact(list(spec.entrypoint))]
    return [*words, spec.image, *spec.argv]
