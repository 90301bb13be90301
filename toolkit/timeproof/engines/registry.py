"""Which engine a command uses. Imports an engine only when it is named."""

from __future__ import annotations

import os

from timeproof.engines.protocol import Engine
from timeproof.errors import BadRequest, EngineFailed, EngineMissing

NAMES = ("docker", "podman", "none")


def engine_named(name: str | None = None) -> Engine:
    """The engine of that name; None takes whatever answers at a Docker-compatible socket.

    Raises:
        BadRequest: there is no such engine.
        EngineMissing: it does not work here; the message says why.
    """
    if name is None or name == "docker":
        from timeproof.engines.docker import connect

        return connect()
    if name == "podman":
        from timeproof.engines.podman import Podman

        podman = Podman()
        podman.version()
        return podman
    if name == "none":
        from timeproof.engines.sandbox.engine import Sandbox

        sandbox = Sandbox()
        sandbox.check()
        return sandbox
    raise BadRequest(f"there is no engine {name!r}", advice=f"take one of: {', '.join(NAMES)}")


def confining_engine(purpose: str) -> Engine:
    """The engine in which strangers' programs are confined: TIMEPROOF_ENGINE, else Docker, else podman.

    The kernel's own sandbox confines less, and is taken only where the user names it.

    Args:
        purpose: what is confined, as a sentence, for the message.

    Raises EngineMissing: none answers; the message says what to do.
    """
    if name := os.environ.get("TIMEPROOF_ENGINE"):
        return engine_named(name)
    tried = []
    for name in ("docker", "podman"):
        try:
            return engine_named(name)
        except EngineFailed as error:
            tried.append(error.message)
    raise EngineMissing(
        f"{purpose}, and no container engine answers ({'; '.join(tried)})",
        advice="start Docker or podman ('make engine' installs one), or confine it with the kernel's own"
        " sandbox: TIMEPROOF_ENGINE=none",
    )
