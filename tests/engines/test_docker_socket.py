"""Where an engine is looked for, and what its silence is called."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import requests
from docker.errors import APIError, DockerException

from timeproof.engines import docker_socket
from timeproof.errors import EngineFailed, EngineLost


def test_the_user_s_own_choice_is_the_only_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    assert list(docker_socket.addresses()) == ["tcp://192.0.2.1:2375"]


def test_the_usual_socket_is_first_and_others_only_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman/podman.sock").touch()
    addresses = list(docker_socket.addresses())
    assert addresses[0] == "unix:///var/run/docker.sock"
    assert f"unix://{tmp_path}/podman/podman.sock" in addresses
    assert f"unix://{tmp_path}/docker.sock" not in addresses


def test_a_socket_without_a_listener_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with pytest.raises(FileNotFoundError):
        docker_socket.check_listener(f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with pytest.raises(ConnectionRefusedError):
            docker_socket.check_listener(f"unix://{path}")
        listener.listen()
        docker_socket.check_listener(f"unix://{path}")
    docker_socket.check_listener("tcp://192.0.2.1:2375")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DockerException("Error: FileNotFoundError(2, 'No such file')"), "nothing listens there"),
        (OSError(13, "Permission denied"), "permission denied (is this user in the docker group?)"),
        (OSError("first line\nsecond"), "first line"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_a_reason_is_one_short_line(error: Exception, reason: str) -> None:
    assert docker_socket.reason(error) == reason


@pytest.mark.parametrize(
    "error", [requests.ConnectionError("gone"), DockerException("gone"), ConnectionResetError("gone")]
)
def test_silence_is_a_lost_engine(error: Exception) -> None:
    with pytest.raises(EngineLost), docker_socket.engine_errors():
        raise error


def test_a_refusal_is_no_lost_engine() -> None:
    with pytest.raises(EngineFailed, match="no such image") as caught, docker_socket.engine_errors():
        raise APIError("404", explanation="no such image")
    assert not isinstance(caught.value, EngineLost)


def test_while_stdout_is_read_only_the_transport_s_errors_mean_a_lost_engine() -> None:
    with pytest.raises(EngineLost), docker_socket.transport_errors():
        raise ConnectionResetError
    for error in (ValueError("the reader's"), FileNotFoundError("the reader's")):
        with pytest.raises(type(error)), docker_socket.transport_errors():
            raise error
