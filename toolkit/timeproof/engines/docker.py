"""Docker, and podman through its Docker-compatible socket, by the `docker` SDK."""

from __future__ import annotations

import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import Mount as Bind
from docker.types import Ulimit

from timeproof.base.limits import LIMITS
from timeproof.engines import ownership_labels, platforms
from timeproof.engines.protocol import ULIMITS, USER, ImageFacts, Network, ReadExactly, RunResult, RunSpec
from timeproof.errors import EngineFailed, EngineLost, EngineMissing

_ADVICE = (
    "run 'make engine' (or install Docker Engine 26 or newer, or start podman's socket);"
    " or replay without: --engine podman, --engine none"
)
_SECONDS = 300  # for one answer: removing an image takes a minute on a busy disk


def _sockets() -> Iterator[str]:
    """Where an engine may listen, the user's own choice first."""
    if chosen := os.environ.get("DOCKER_HOST"):
        yield chosen
        return
    yield "unix:///var/run/docker.sock"
    home = Path.home()
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    for path in (
        home / ".docker/run/docker.sock",
        home / ".docker/desktop/docker.sock",
        Path(runtime) / "docker.sock",
        Path(runtime) / "podman/podman.sock",
        Path("/run/podman/podman.sock"),
    ):
        with suppress(PermissionError):
            if path.exists():
                yield f"unix://{path}"


def _knock(address: str) -> None:
    """Raise OSError unless something listens on a local socket: the SDK would leave its own one open."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
            knocking.settimeout(10.0)
            knocking.connect(address.removeprefix("unix://"))


def connect() -> Containers:
    """Find the engine that answers. Raises EngineMissing, saying what was tried."""
    tried = []
    for address in _sockets():
        try:
            _knock(address)
            client = docker.APIClient(base_url=address, version="auto", timeout=_SECONDS)
            return Containers(client, address)
        except (DockerException, requests.RequestException, OSError) as error:
            tried.append(f"{address}: {_reason(error)}")
    raise EngineMissing("no container engine answers (" + "; ".join(tried) + ")", advice=_ADVICE)


def _reason(error: BaseException) -> str:
    text = str(error)
    if "FileNotFoundError" in text or "No such file" in text:
        return "nothing listens there"
    if "PermissionError" in text or "Permission denied" in text:
        return "permission denied (is this user in the docker group?)"
    return text.splitlines()[0][:200] if text else type(error).__name__


@contextmanager
def _answers() -> Iterator[None]:
    try:
        yield
    except APIError as error:
        raise EngineFailed(f"the engine refused: {error.explanation or error}") from error
    except (requests.RequestException, DockerException, OSError) as error:
        raise EngineLost(
            f"the engine stopped answering: {_reason(error)}",
            advice="start it again, then run the same command again; nothing was recorded",
        ) from error


class _Stdout:
    """Turns the attached stream into `read_exactly`, keeping a bounded tail of stderr."""

    def __init__(self, chunks: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        self._chunks = chunks
        self._held = bytearray()
        self._log = bytearray()

    def _pull(self) -> bool:
        for out, err in self._chunks:
            if err:
                self._log += err
                del self._log[: -LIMITS.log_bytes]
            if out:
                self._held += out
                return True
        return False

    def read_exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            if not self._pull():
                raise EOFError(f"{size} bytes awaited, {len(self._held)} came")
        data = bytes(memoryview(self._held)[:size])
        del self._held[:size]
        return data

    def drain(self) -> None:
        """Read to the end, keeping nothing of stdout."""
        while self._pull():
            self._held.clear()

    @property
    def log(self) -> str:
        return self._log.decode("utf-8", "replace")


class Containers:
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
        with _answers():
            told = self._api.version()
        parts = {c["Name"]: c["Version"] for c in told.get("Components") or []}
        if any("podman" in name.lower() for name in parts):
            self.name = "podman"
        self._arch = platforms.architecture(told.get("Arch", "?"))
        return {"engine": self.name, "version": told.get("Version", "?"), "arch": self._arch}

    def info(self) -> dict[str, Any]:
        """The engine's own account of itself."""
        with _answers():
            told: dict[str, Any] = self._api.info()
        return told

    def inspect(self, image: str) -> ImageFacts | None:
        with _answers():
            try:
                told = self._api.inspect_image(image)
            except (ImageNotFound, NotFound):
                return None
        platform = f"{told['Os']}/{told['Architecture']}"
        if told.get("Variant"):
            platform += f"/{told['Variant']}"
        return ImageFacts(told["Id"], tuple(told.get("RootFS", {}).get("Layers") or ()), platform)

    def load(self, archive: Iterable[bytes]) -> None:
        with _answers():
            for told in self._api.load_image(iter(archive), quiet=True):
                if "error" in told:
                    raise EngineFailed(f"the engine refused the image: {told['error']}")

    def drop(self, image: str) -> None:
        with _answers(), suppress(ImageNotFound, NotFound):
            self._api.remove_image(image, force=True)

    def reap(self) -> int:
        removed = 0
        with _answers():
            for one in self._api.containers(all=True, filters={"label": ownership_labels.LABEL}):
                if ownership_labels.is_stray(one.get("Labels") or {}):
                    with suppress(NotFound, APIError):  # another run may be removing it, too
                        self._api.remove_container(one["Id"], force=True, v=True)
                        removed += 1
        return removed

    def _network_mode(self, wanted: Network) -> str:
        """The engine's own network where one is wanted; the machine's, where the engine has none."""
        if wanted != "bridge" or any(n["Name"] == "bridge" for n in self._api.networks(names=["bridge"])):
            return wanted
        return "host"

    def _platform(self, image: str) -> str | None:
        """The platform to ask for: None where the image is of the engine's own architecture."""
        facts = self.inspect(image)
        here = self._arch or self.version()["arch"]
        return facts.platform if facts is not None and platforms.emulated(here, facts.platform) else None

    def run(self, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        if not self._reaped:
            self._reaped = True
            self.reap()
        platform = self._platform(spec.image)
        with _answers():
            container = self._api.create_container(
                spec.image,
                command=list(spec.argv),
                entrypoint=list(spec.entrypoint) if spec.entrypoint is not None else None,
                environment=dict(spec.env),
                user=f"{USER}:{USER}",
                working_dir="/tmp",  # noqa: S108  the container's own tmpfs
                labels=ownership_labels.labels(spec.timeout),
                network_disabled=spec.network == "none",
                platform=platform,
                host_config=self._api.create_host_config(
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
                    mounts=[
                        Bind(m.target, str(m.source.resolve()), "bind", read_only=True) for m in spec.mounts
                    ],
                ),
            )["Id"]
        try:
            return self._attended(container, spec, consume)
        finally:
            with suppress(DockerException, requests.RequestException, OSError):
                self._api.remove_container(container, force=True, v=True)

    def _attended(self, container: str, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        over = threading.Event()

        def kill() -> None:
            over.set()
            with suppress(DockerException, requests.RequestException, OSError):
                self._api.kill(container)

        begun = time.monotonic()
        with _answers():
            stream = self._api.attach(container, stream=True, logs=False, demux=True)
            self._api.start(container)

        def hang_up() -> None:
            with suppress(Exception):
                stream.close()
            with suppress(Exception):
                stream._response.close()  # the SDK closes the socket, but not the file made of it

        clock = threading.Timer(spec.timeout, kill)
        clock.daemon = True
        clock.start()
        stdout = _Stdout(stream)
        try:
            with _answers_while_reading(), suppress(EOFError):
                consume(stdout.read_exactly)
            with _answers_while_reading():
                stdout.drain()
            with _answers():
                exit_code = self._api.wait(container, timeout=60).get("StatusCode")
                state = self._api.inspect_container(container)["State"]
        except BaseException:
            hang_up()  # first: a kill waits until somebody has read what the container wrote
            kill()
            raise
        finally:
            clock.cancel()
            hang_up()
        return RunResult(
            exit_code=exit_code,
            oom_killed=bool(state.get("OOMKilled")),
            timed_out=over.is_set(),
            log=stdout.log,
            seconds=time.monotonic() - begun,
        )


@contextmanager
def _answers_while_reading() -> Iterator[None]:
    """Only the transport's own failures mean that the engine is lost; the consumer's go on."""
    try:
        yield
    except (requests.RequestException, ConnectionError) as error:
        raise EngineLost(f"the engine stopped answering: {_reason(error)}") from error
