"""Machines of a test: network namespaces of their own on one bridge, whose wires can be pulled.

Nothing reaches the outside: there is no way out of the bridge. Everything is gone afterwards.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

_NET = "10.213.37"


class Network:
    """Namespaces by name: the first holds the bridge, and has the address `…1`."""

    def __init__(self, *names: str) -> None:
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        if shutil.which("ip") is None:
            pytest.skip("iproute2 is not installed (tests/system-packages.sh)")
        self._tag = secrets.token_hex(2)
        self.addresses = {name: f"{_NET}.{k + 1}" for k, name in enumerate(names)}
        self._names = names
        self._spaces: list[str] = []

    def _space(self, name: str) -> str:
        return f"tp-{self._tag}-{name}"

    def _ip(self, *words: str) -> None:
        done = subprocess.run(["ip", *words], capture_output=True, check=False)
        if done.returncode != 0:
            raise OSError(f"ip {' '.join(words)}: {done.stderr.decode()}")

    def __enter__(self) -> Network:
        try:
            hub = self._space(self._names[0])
            for name in self._names:
                self._ip("netns", "add", self._space(name))
                self._spaces.append(name)
                self._ip("-n", self._space(name), "link", "set", "lo", "up")
            self._ip("-n", hub, "link", "add", "bridge0", "type", "bridge")
            self._ip("-n", hub, "link", "set", "bridge0", "up")
            self._ip("-n", hub, "addr", "add", f"{self.addresses[self._names[0]]}/24", "dev", "bridge0")
            for name in self._names[1:]:
                space = self._space(name)
                wire = ["type", "veth", "peer", "name", f"to-{name}", "netns", hub]
                self._ip("-n", space, "link", "add", "eth0", *wire)
                self._ip("-n", hub, "link", "set", f"to-{name}", "master", "bridge0")
                self._ip("-n", space, "addr", "add", f"{self.addresses[name]}/24", "dev", "eth0")
                self._ip("-n", space, "link", "set", "eth0", "up")
                self.plug(name)
        except OSError as error:
            self.__exit__()
            pytest.skip(f"this machine makes no network namespaces: {error}")
        return self

    def __exit__(self, *_: object) -> None:
        while self._spaces:
            subprocess.run(["ip", "netns", "del", self._space(self._spaces.pop())], check=False)

    def plug(self, name: str) -> None:
        self._ip("-n", self._space(self._names[0]), "link", "set", f"to-{name}", "up")

    def unplug(self, name: str) -> None:
        """Pull the wire: the machine's own address stays, and nothing comes or goes."""
        self._ip("-n", self._space(self._names[0]), "link", "set", f"to-{name}", "down")

    def inside(self, name: str) -> list[str]:
        """What goes before a command line to run it there."""
        return ["ip", "netns", "exec", self._space(name)]

    def start(
        self, name: str, words: Sequence[str | Path], log: Path, env: Mapping[str, str]
    ) -> subprocess.Popen[Any]:
        """Start a process there, which writes to `log`."""
        with log.open("ab") as sink:
            return subprocess.Popen(
                [*self.inside(name), *map(str, words)], stdout=sink, stderr=sink, env=dict(env)
            )
