"""A real S3 server on loopback (SeaweedFS), and a wire that can be cut."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.registry_server import free_port, wait_for
from support.waiting import HANG_SECONDS

KEY, SECRET = "ada", "the-secret-of-ada"
READER = "bob"  # may read and list, and no more


def weed() -> str | None:
    """The server's program: it lies beside the Python that runs the tests."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


class S3Server:
    """One running server, with one user who may do all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[S3Server]:
        program = weed()
        assert program is not None
        who = {"name": KEY, "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        reader = {
            "name": READER,
            "credentials": [{"accessKey": READER, "secretKey": SECRET}],
            "actions": ["Read", "List"],
        }
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [who, reader]}))
        (self.folder / "data").mkdir()
        words = [program, "server", "-s3", f"-dir={self.folder / 'data'}", "-ip=127.0.0.1"]
        words += ["-ip.bind=127.0.0.1", f"-s3.config={config}", f"-s3.port={self.port}"]
        words += ["-volume.max=0", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"]
        names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port"]
        names += ["filer.port.grpc", "s3.port.grpc"]
        words += [f"-{name}={free_port()}" for name in names]
        words += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        log = self.folder / "log"
        with log.open("wb") as sink:
            process = subprocess.Popen(words, stdout=sink, stderr=sink, cwd=self.folder)
        try:
            wait_for("127.0.0.1", self.port, process, log)
            self.files = self._files()
            self.files.mkdir("models")
            yield self
        finally:
            process.kill()  # asked politely it takes half a minute
            process.wait(HANG_SECONDS)

    def _files(self) -> Any:
        import s3fs

        return s3fs.S3FileSystem(
            key=KEY,
            secret=SECRET,
            client_kwargs={"endpoint_url": self.endpoint},
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def environment(self, **changed: str) -> dict[str, str]:
        """The variables by which anyone's S3 tools find this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nowhere",
            "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
            "AWS_MAX_ATTEMPTS": "1",
        } | changed

    def upload(self, root: Path, prefix: str, but: tuple[str, ...] = ()) -> str:
        """Copy an archive there as it is; gives its address."""
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_file() and not path.name.endswith(".lock") and not name.startswith(but):
                self.files.put_file(str(path), f"models/{prefix}/{name}")
        return f"s3://models/{prefix}"


class Wire:
    """A relay before a server, that passes so many bytes of each answer and is then cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.passes: int | None = None  # bytes of an answer; None for all
        self.cuts = 0  # answers that were cut
        self.most = 10**9  # answers that are cut, then all is well again
        self.requests: list[bytes] = []  # their first lines
        self.before: Callable[[bytes], None] = lambda line: None  # called before a request is passed on
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: list[socket.socket] = []

    def __enter__(self) -> Wire:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._thread.join(HANG_SECONDS)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                threading.Thread(target=self._up, args=(near, far), daemon=True).start()
                threading.Thread(target=self._down, args=(near, far), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                lines = [line for line in data.split(b"\r\n") if line.endswith(b" HTTP/1.1")]
                self.requests += lines
                for line in lines:
                    self.before(line)
                far.sendall(data)

    def _down(self, near: socket.socket, far: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while data := far.recv(65536):
                if self.passes is not None and self.cuts < self.most and passed + len(data) > self.passes:
                    near.sendall(data[: self.passes - passed])
                    self.cuts += 1
                    near.shutdown(socket.SHUT_RDWR)
                    return
                passed += len(data)
                near.sendall(data)
