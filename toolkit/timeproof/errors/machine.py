"""An engine, a tool, a disk or a remote service fails: exit codes 6 and 7."""

from __future__ import annotations

from timeproof.errors.root import TimeproofError


class EngineFailed(TimeproofError):
    """The container engine, or a tool that we call, is missing or failed."""

    exit_code = 6


class EngineMissing(EngineFailed):
    """No container engine answers."""


class EngineLost(EngineFailed):
    """The engine answered before, and does not any more."""


class ToolMissing(EngineFailed):
    def __init__(self, tool: str, *, advice: str = "") -> None:
        super().__init__(
            f"{tool} is not installed", advice=advice or "run 'timeproof doctor' to see what is missing"
        )
        self.tool = tool


class ToolFailed(EngineFailed):
    def __init__(self, tool: str, exit_code: int | None, tail: str) -> None:
        ended = "ran out of time" if exit_code is None else f"ended with exit code {exit_code}"
        super().__init__(f"{tool} {ended}:\n{tail}" if tail else f"{tool} {ended}")
        self.tool, self.tool_exit_code, self.tail = tool, exit_code, tail


class StorageFailed(TimeproofError):
    """The disk is full, read-only or failing. What was being written is not there."""

    exit_code = 7

    def __init__(self, path: object, why: str) -> None:
        super().__init__(
            f"{path} can't be written: {why}",
            advice="nothing was published; free space or mend the disk, and run the same command again",
        )
        self.path, self.why = str(path), why


class NoSpace(StorageFailed):
    """There is no room for the copies of artifacts' files that a container is given."""

    def __init__(self, path: object, needed: int, free: int) -> None:
        wanted, available = f"{needed / 1e6:.0f} MB", f"{free / 1e6:.0f} MB"
        super().__init__(
            path, f"{wanted} are needed for copies of the artifacts' files, {available} are free"
        )
        self.needed, self.free = needed, free
        self.advice = "free space there, or set TMPDIR to a folder with room, and run the same command again"


class RemoteFailed(TimeproofError):
    """A bucket or a registry can't be reached, broke off, or refused. Nothing half-read is kept."""

    exit_code = 7

    def __init__(self, address: object, why: str, *, advice: str = "") -> None:
        super().__init__(f"{address}: {why}", advice=advice or "see that the address is right and answers")
        self.address, self.why = str(address), why


class AccessDenied(RemoteFailed):
    """It answers, and does not let us in."""
