"""Which engine a command uses. Imports each one only when it is asked for."""

from __future__ import annotations

from timeproof.engine.base import Engine
from timeproof.errors import BadRequest

NAMES = ("docker", "podman", "none")


def engine_named(name: str | None = None) -> Engine:
    """The engine of that name; None takes whatever answers at a Docker-compatible socket.

    Raises:
        BadRequest: there is no such engine.
        EngineMissing: it does not work here; the message says why.
    """
    if name is None or name == "docker":
        from timeproof.engine.containers import connect

        return connect()
    if name == "podman":
        from timeproof.engine.podman import Podman

        podman = Podman()
        podman.version()
        return podman
    if name == "none":
        from timeproof.engine.bare import Bare

        bare = Bare()
        bare.check()
        return bare
    raise BadRequest(f"there is no engine {name!r}", advice=f"take one of: {', '.join(NAMES)}")
