"""Where a Docker-compatible engine listens, and how its refusals and its silence become our errors."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests
from docker.errors import APIError, DockerException

from timeproof.errors import EngineFailed, EngineLost


def addresses() -> Iterator[str]:
    """Where an engine may listen, the user's own choice first."""
    if address := os.environ.get("DOCKER_HOST"):
        yield address
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


def check_listener(address: str) -> None:
    """Raise OSError unless something listens on a local socket: the SDK would leave its own one open."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(10.0)
            client.connect(address.removeprefix("unix://"))


def reason(error: BaseException) -> str:
    """Why an engine does not answer, as short as a person needs it."""
    text = str(error)
    if "FileNotFoundError" in text or "No such file" in text:
        return "nothing listens there"
    if "PermissionError" in text or "Permission denied" in text:
        return "permission denied (is this user in the docker group?)"
    return text.splitlines()[0][:200] if text else type(error).__name__


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn what the SDK raises into EngineFailed (the engine refused) and EngineLost (it is silent)."""
    try:
        yield
    except APIError as error:
        raise EngineFailed(f"the engine refused: {error.explanation or error}") from error
    except (requests.RequestException, DockerException, OSError) as error:
        raise EngineLost(
            f"the engine stopped answering: {reason(error)}",
            advice="start it again, then run the same command again; nothing was recorded",
        ) from error


@contextmanager
def transport_errors() -> Iterator[None]:
    """Turn only the transport's own failures into EngineLost; those of the reader go on."""
    try:
        yield
    except (requests.RequestException, ConnectionError) as error:
        raise EngineLost(f"the engine stopped answering: {reason(error)}") from error
