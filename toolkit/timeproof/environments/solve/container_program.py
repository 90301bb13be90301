"""Solves an environment.yml with the stock conda-lock, or requirements with pip, inside a container.

The program of `stock_conda_lock` and `pip_solve`. What indexes serve may run here, but never on the host.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from timeproof.base import proc
from timeproof.environments.solve import conda_shim
from timeproof.environments.toolbox import frames
from timeproof.errors import LockFailed, ToolFailed

_SECONDS = 1800.0
_WORK = Path("/tmp/work")  # noqa: S108  the container's own


def _conda() -> Path:
    """A conda for conda-lock: our stand-in, as an executable file."""
    shim = _WORK / "conda"
    shim.write_text(f"#!{sys.executable} -P\nfrom {conda_shim.__name__} import main\nmain()\n")
    shim.chmod(0o755)
    return shim


def _run(argv: Sequence[str | Path]) -> None:
    """Run a solver; raise LockFailed with what it said."""
    lines: list[str] = []

    def listen(line: str) -> None:
        lines.append(line)
        print(line, file=sys.stderr, flush=True)

    try:
        proc.run(argv, cwd=_WORK, timeout=_SECONDS, on_line=listen)
    except ToolFailed as error:
        raise LockFailed(_reason(lines) or error.tail) from error


def _reason(lines: Sequence[str]) -> str:
    """What a solver said before its own traceback, which says nothing to a user."""
    end = next((i for i, line in enumerate(lines) if line.startswith("Traceback ")), len(lines))
    words = [line for line in lines[:end] if line.strip()]
    return "\n".join((words or list(lines))[-20:])


def conda_lock(request: dict[str, Any]) -> bytes:
    """Lock `environment` for `platforms`, with `virtual` packages; give the text of conda-lock.yml."""
    environment, table, virtual = (
        _WORK / "environment.yml",
        _WORK / "names.json",
        _WORK / "virtual-packages.yml",
    )
    environment.write_text(request["environment"], "utf-8")
    # Names map to themselves: the table that conda-lock would fetch is not pinned by anything.
    table.write_text("{}")
    virtual.write_text(request["virtual"], "utf-8")
    out = _WORK / "conda-lock.yml"
    argv: list[str | Path] = [sys.executable, "-P", "-m", "conda_lock", "lock", "--conda", _conda()]
    argv += ["--file", environment, "--lockfile", out, "--pypi_to_conda_lookup_file", table.as_uri()]
    argv += ["--virtual-package-spec", virtual]
    for platform in request["platforms"]:
        argv += ["--platform", platform]
    _run(argv)
    return out.read_bytes()


def pip(request: dict[str, Any]) -> bytes:
    """Give pip's report on `requirements`, with its options `before` and `after` the command."""
    listing, out = _WORK / "requirements.txt", _WORK / "report.json"
    listing.write_text("".join(f"{r}\n" for r in request["requirements"]), "utf-8")
    argv = [sys.executable, "-P", "-m", "pip", *request["before"], "install", *request["after"]]
    _run([*argv, "--report", str(out), "-r", str(listing)])
    return out.read_bytes()


def work(request: dict[str, Any], out: BinaryIO) -> None:
    """Run the solver of the request, and send the file that it wrote."""
    os.makedirs(_WORK)
    answer = {"conda-lock": conda_lock, "pip": pip}[request["do"]](request)
    frames.put(out, frames.ANSWER, content=answer)


if __name__ == "__main__":
    frames.answer(work, (LockFailed,))
