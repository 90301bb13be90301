"""A real OCI registry on loopback (Debian's docker-registry), with one user and a password."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.waiting import HANG_SECONDS, wait_until

USER, PASSWORD = "ada", "the pass:word"


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(address: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something listens there; fail with the log where the process ends before."""

    def explain() -> str:
        return f"{process.args!r} does not answer: {log.read_text(errors='replace')[-2000:]}"

    def answers() -> bool:
        assert process.poll() is None, explain()
        with socket.socket() as connection:
            connection.settimeout(1)
            return connection.connect_ex((address, port)) == 0

    wait_until(answers, explain)


class RegistryServer:
    """One running registry; its blobs lie below `storage`."""

    def __init__(self, folder: Path, address: str = "127.0.0.1", port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.storage = folder, folder / "storage"
        self.port = port or free_port(address)
        self.host = f"{address}:{self.port}"
        users = folder / "htpasswd"
        words = ["htpasswd", "-Bbn", USER, PASSWORD]
        users.write_bytes(subprocess.run(words, check=True, capture_output=True).stdout)
        self.config = folder / "config.yml"
        self.config.write_text(
            json.dumps(
                {
                    "version": "0.1",
                    "log": {"level": "error"},
                    "storage": {"filesystem": {"rootdirectory": str(self.storage)}},
                    "http": {"addr": self.host, "secret": "of this test"},
                    "auth": {"htpasswd": {"realm": "test", "path": str(users)}},
                }
            )
        )
        self.log = folder / "log"

    @contextmanager
    def running(self, *prefix: str) -> Iterator[RegistryServer]:
        """Run it; `prefix` goes before its command line, to put it into a network namespace."""
        words = [*prefix, "docker-registry", "serve", str(self.config)]
        with self.log.open("wb") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            if not prefix:
                wait_for(self.host.partition(":")[0], self.port, process, self.log)
            yield self
        finally:
            process.terminate()
            process.wait(HANG_SECONDS)

    def blob(self, digest: str) -> Path:
        """Where the registry keeps a blob's bytes."""
        plain = digest.removeprefix("sha256:")
        return self.storage / "docker/registry/v2/blobs/sha256" / plain[:2] / plain / "data"

    def docker_login(self, folder: Path, password: str = PASSWORD) -> Path:
        """Write what `docker login` would; the folder goes into DOCKER_CONFIG."""
        import base64

        folder.mkdir(parents=True, exist_ok=True)
        token = base64.b64encode(f"{USER}:{password}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {self.host: {"auth": token}}}))
        return folder


def installed() -> bool:
    return all(shutil.which(tool) for tool in ("docker-registry", "htpasswd"))
