"""A container engine of a test's own: beside the machine's, with its own folders and socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.waiting import wait_until


class PrivateEngine:
    """A dockerd whose every file lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.socket = folder / "docker.sock"
        (folder / "daemon.json").write_text(json.dumps({"features": {"containerd-snapshotter": True}}))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # In a network of its own: an engine without a bridge removes the one that it finds, another engine's.
        words: list[str | Path] = [
            "unshare",
            "--net",
            "dockerd",
            "--config-file",
            self.folder / "daemon.json",
            "--data-root",
            self.data,
        ]
        words += ["--exec-root", self.folder / "exec", "--pidfile", self.folder / "pid"]
        words += ["--host", f"unix://{self.socket}", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        process = self.process
        wait_until(lambda: self._answers() or process.poll() is not None)
        if not self._answers():
            tail = (self.folder / "log").read_text(errors="replace")[-300:]
            self.kill()
            pytest.skip(f"a second engine does not start here: {tail}")

    def _answers(self) -> bool:
        words = ["docker", "--host", f"unix://{self.socket}", "version"]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def kill(self) -> None:
        """As a crash would: with its containerd, and without a word to anybody."""
        if self.process is not None:
            pids = [self.process.pid]
            with_containerd = self.folder / "exec/containerd/containerd.pid"
            if with_containerd.exists():
                pids.append(int(with_containerd.read_text()))
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.wait()
            self.process = None
            for name in ("pid", "exec/containerd/containerd.pid", "docker.sock"):
                (self.folder / name).unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take away whatever the killed engine had mounted."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        places = [line.split()[4] for line in mounts]
        for place in sorted((p for p in places if p.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
