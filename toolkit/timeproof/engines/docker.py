"""Docker, and podman through its Docker-compatible socket, by the `docker` SDK."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import Mount as Bind
from docker.types import Ulimit

from timeproof.engines import docker_socket, ownership_labels, platforms
from timeproof.engines.attached_output import AttachedOutput
from timeproof.engines.docker_socket import engine_errors, transport_errors
from timeproof.engines.protocol import (
    NOT_STARTED,
    NOT_STARTED_CODES,
    ULIMITS,
    USER,
    ImageFacts,
    Network,
    ReadExactly,
    RunResult,
    RunSpec,
)
from timeproof.errors import EngineFailed, EngineMissing

_ADVICE = (
    "run 'make engine' (or install Docker Engine 26 or newer, or start podman's socket);"
    " or replay without: --engine podman, --engine none"
)
_SECONDS = 300  # for one answer: removing an image takes a minute on a busy disk


def connect() -> DockerEngine:
    """Connect to the first engine that answers. Raises EngineMissing, which names what was tried."""
    tried = []
    for address in docker_socket.addresses():
        try:
            docker_socket.check_listener(address)
            client = docker.APIClient(base_url=address, version="auto", timeout=_SECONDS)
            return DockerEngine(client, address)
        except (DockerException, requests.RequestException, OSError) as error:
            tried.append(f"{address}: {docker_socket.reason(error)}")
    raise EngineMissing("no container engine answers (" + "; ".join(tried) + ")", advice=_ADVICE)


class DockerEngine:
    """An engine behind a Docker-compatible socket. See `engines.protocol.Engine`."""

    name = "docker"

    def __init__(self, client: Any, address: str) -> None:
        self._api = client
        self._arch = ""
        self._reaped = False
        weakref.finalize(self, client.close)
        self.address = address

    @property
    def builds(self) -> bool:
        """podman's socket speaks Docker's language, but holds no BuildKit: a build would go elsewhere."""
        return self.version()["engine"] != "podman"

    def caveats(self) -> tuple[str, ...]:
        return ()

    def version(self) -> dict[str, str]:
        with engine_errors():
            version = self._api.version()
        parts = {c["Name"]: c["Version"] for c in version.get("Components") or []}
        if any("podman" in name.lower() for name in parts):
            self.name = "podman"
        self._arch = platforms.architecture(version.get("Arch", "?"))
        return {"engine": self.name, "version": version.get("Version", "?"), "arch": self._arch}

    def info(self) -> dict[str, Any]:
        """The engine's own account of itself."""
        with engine_errors():
            info: dict[str, Any] = self._api.info()
        return info

    def inspect(self, image: str) -> ImageFacts | None:
        with engine_errors():
            try:
                facts = self._api.inspect_image(image)
            except (ImageNotFound, NotFound):
                return None
        platform = f"{facts['Os']}/{facts['Architecture']}"
        if facts.get("Variant"):
            platform += f"/{facts['Variant']}"
        return ImageFacts(facts["Id"], tuple(facts.get("RootFS", {}).get("Layers") or ()), platform)

    def load(self, archive: Iterable[bytes]) -> None:
        with engine_errors():
            for event in self._api.load_image(iter(archive), quiet=True):
                if "error" in event:
                    raise EngineFailed(f"the engine refused the image: {event['error']}")

    def drop(self, image: str) -> None:
        with engine_errors(), suppress(ImageNotFound, NotFound):
            self._api.remove_image(image, force=True)

    def reap(self) -> int:
        removed = 0
        with engine_errors():
            for container in self._api.containers(all=True, filters={"label": ownership_labels.LABEL}):
                if ownership_labels.is_stray(container.get("Labels") or {}):
                    with suppress(NotFound, APIError):  # another run may be removing it, too
                        self._api.remove_container(container["Id"], force=True, v=True)
                        removed += 1
        return removed

    def _network_mode(self, network: Network) -> str:
        """The engine's own network where one is asked for; the machine's, where the engine has none."""
        if network != "bridge" or any(n["Name"] == "bridge" for n in self._api.networks(names=["bridge"])):
            return network
        return "host"

    def _platform(self, image: str) -> str | None:
        """The platform to ask for: None where the image is of the engine's own architecture."""
        facts = self.inspect(image)
        arch = self._arch or self.version()["arch"]
        return facts.platform if facts is not None and platforms.emulated(arch, facts.platform) else None

    def run(self, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        if not self._reaped:
            self._reaped = True
            self.reap()
        container = self._create(spec)
        try:
            return self._attended(container, spec, consume)
        finally:
            with suppress(DockerException, requests.RequestException, OSError):
                self._api.remove_container(container, force=True, v=True)

    def _create(self, spec: RunSpec) -> str:
        """Create the container, which is not started yet; return its id."""
        platform = self._platform(spec.image)
        with engine_errors():
            container: str = self._api.create_container(
                spec.image,
                command=list(spec.argv),
                entrypoint=list(spec.entrypoint) if spec.entrypoint is not None else None,
                environment=dict(spec.env),
                user=f"{USER}:{USER}",
                working_dir="/tmp",  # noqa: S108  the container's own tmpfs
                labels=ownership_labels.labels(spec.timeout),
                network_disabled=spec.network == "none",
                platform=platform,
                host_config=self._host_config(spec),
            )["Id"]
        return container

    def _host_config(self, spec: RunSpec) -> Any:
        """How the engine confines the container."""
        return self._api.create_host_config(
            network_mode=self._network_mode(spec.network),
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            tmpfs={"/tmp": spec.tmp_options},  # noqa: S108
            pids_limit=spec.pids,
            ulimits=[Ulimit(name=n, soft=most, hard=most) for n, most in ULIMITS.items()],
            mem_limit=spec.memory,
            memswap_limit=spec.memory,
            ipc_mode="private",
            log_config={"Type": "none", "Config": {}},
            mounts=[Bind(m.target, str(m.source.resolve()), "bind", read_only=True) for m in spec.mounts],
        )

    def _attended(self, container: str, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        """Start the container, and stay with it to its end."""
        begun = time.monotonic()
        killer = _Killer(self._api, container)
        with engine_errors():
            killer.stream = self._api.attach(container, stream=True, logs=False, demux=True)
            if problem := self._start(container):
                killer.hang_up()
                return RunResult(NOT_STARTED, False, False, problem, time.monotonic() - begun)
        output = AttachedOutput(killer.stream)
        with killer.after(spec.timeout):
            with transport_errors(), suppress(EOFError):
                consume(output.read_exactly)
            with transport_errors():
                output.drain()
            with engine_errors():
                exit_code = self._api.wait(container, timeout=60).get("StatusCode")
                state = self._api.inspect_container(container)["State"]
        return RunResult(
            exit_code=exit_code,
            oom_killed=bool(state.get("OOMKilled")),
            timed_out=killer.timed_out,
            log=output.log,
            seconds=time.monotonic() - begun,
        )

    def _start(self, container: str) -> str:
        """Start a container; return why its image's program can't be started, or nothing."""
        try:
            self._api.start(container)
        except APIError:
            state = self._api.inspect_container(container)["State"]
            if state.get("ExitCode") not in NOT_STARTED_CODES:
                raise
            return f"the image can't be run: {state.get('Error') or 'its program can not be started'}"
        return ""


class _Killer:
    """Ends a container: when its time is over, or when its reader raises."""

    def __init__(self, api: Any, container: str) -> None:
        self._api, self._container = api, container
        self._late = threading.Event()
        self.stream: Any = None  # the attached one

    @property
    def timed_out(self) -> bool:
        return self._late.is_set()

    def kill(self) -> None:
        self._late.set()
        with suppress(DockerException, requests.RequestException, OSError):
            self._api.kill(self._container)

    def hang_up(self) -> None:
        with suppress(Exception):
            self.stream.close()
        with suppress(Exception):
            self.stream._response.close()  # the SDK closes the socket, but not the file made of it

    @contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        """Kill the container after that time, or where the block raises; hang up in the end."""
        clock = threading.Timer(seconds, self.kill)
        clock.daemon = True
        clock.start()
        try:
            yield
        except BaseException:
            self.hang_up()  # first: a kill waits until somebody has read what the container wrote
            self.kill()
            raise
        finally:
            clock.cancel()
            self.hang_up()
