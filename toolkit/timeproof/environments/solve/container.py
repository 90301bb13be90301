"""The container that solves: with a network, and with nothing of this machine but what solving needs.

Its environment is empty but for a short list. Its answer is bytes, which the caller checks as a stranger's.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from timeproof.base.limits import LIMITS
from timeproof.engines.protocol import Engine, Mount, Network, ReadExactly, RunResult
from timeproof.engines.registry import confining_engine
from timeproof.environments.solve import container_program
from timeproof.environments.solve.allowed import NOTHING, Allowed
from timeproof.environments.toolbox import frames, toolbox
from timeproof.environments.toolbox.empty_image import provide_empty_image
from timeproof.environments.toolbox.frames import PLACE
from timeproof.environments.toolbox.host_runtime import Interpreter
from timeproof.environments.toolbox.tree_reading import printable
from timeproof.errors import LockFailed

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def _proxies() -> dict[str, str]:
    names = [*_PROXIES, *(n.upper() for n in _PROXIES)]
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def is_loopback(url: str) -> bool:
    """Whether an address names this machine itself, which a container's own network does not reach."""
    host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _network(addresses: Iterable[str]) -> Network:
    """The machine's own network only where the user's own configuration names an address on this machine."""
    return "host" if any(is_loopback(url) for url in addresses) else "bridge"


class _Answer:
    """One file from a container, bounded."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.data: bytes | None = None
        self.refusal = ""

    def read(self, read: ReadExactly) -> None:
        kind, length, size = frames.HEADER.unpack(read(frames.HEADER.size))
        if length or kind not in {frames.ANSWER, frames.REFUSED, frames.FAILED}:
            raise LockFailed("the solver's answer is not in the form that it should have")
        if size > self._limit:
            raise LockFailed(f"the solver answers with more than {self._limit} bytes")
        data = read(size)
        if kind == frames.ANSWER:
            self.data = data
        else:
            self.refusal = printable(data)


def solve_in_container(
    request: Mapping[str, Any],
    *,
    files: Mapping[str, bytes | Path] | None = None,
    mounts: Sequence[Mount] = (),
    env: Mapping[str, str] | None = None,
    configured: Iterable[str] = (),
    interpreters: tuple[Interpreter, ...] = (),
    allowed: Allowed = NOTHING,
    engine: Engine | None = None,
) -> bytes:
    """Put a request to `container_program`; return the bytes of the file that it gives.

    Args:
        files: name to content: what lies beside the request, in `/timeproof/request`.
        mounts: what of this machine the solver has to see.
        env: further variables of its environment.
        configured: the addresses that the user's own configuration names.
        interpreters: further interpreters of this machine that it needs.

    Raises:
        LockFailed: there is no solution; the message is the solver's own.
        EngineMissing / EngineLost / EngineFailed.
    """
    engine = engine or confining_engine("an environment.yml is solved in a container")
    image = provide_empty_image(engine)
    answer = _Answer(LIMITS.lock_bytes)
    with tempfile.TemporaryDirectory(prefix="timeproof-") as scratch:
        tools_folder, folder = Path(scratch, "toolbox"), Path(scratch, "request")
        tools_folder.mkdir()
        _write_files(files or {}, folder)
        tools = toolbox.prepare(tools_folder, interpreters)
        proxies = _proxies()
        ended = tools.run(
            engine,
            image,
            container_program.__name__,
            request,
            folder,
            answer.read,
            mounts=mounts,
            env={**_variables(tools, allowed), **proxies, **(env or {})},
            tmp_bytes=LIMITS.solve_bytes,
            tmp_programs=True,
            memory=LIMITS.container_memory,
            timeout=LIMITS.solve_seconds,
            network=_network([*configured, *proxies.values(), *allowed.repositories]),
        )
    if answer.refusal:
        raise LockFailed(answer.refusal)
    if answer.data is None:
        raise LockFailed(f"the solver gave no answer: {_reason(ended)}")
    return answer.data


def _write_files(files: Mapping[str, bytes | Path], folder: Path) -> None:
    """Write what lies beside the request, so that the container's user can read it."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    toolbox.make_readable(folder)


def _variables(tools: toolbox.Toolbox, allowed: Allowed) -> dict[str, str]:
    """The variables of the solver's environment that the toolkit sets, and those that the user allows."""
    certificates = tools.env["SSL_CERT_FILE"]
    return {
        "LD_LIBRARY_PATH": f"{PLACE}/lib",  # for the programs that the solvers start
        "REQUESTS_CA_BUNDLE": certificates,
        "PIP_CERT": certificates,
        **{name: os.environ[name] for name in allowed.variables if name in os.environ},
    }


def _reason(ended: RunResult) -> str:
    """Why a container gave no answer."""
    if ended.timed_out:
        return f"it took longer than {LIMITS.solve_seconds:.0f} s"
    if ended.oom_killed:
        return "it needs more memory than the container has"
    return ended.log.strip()[-2000:]
