"""The caller asked for something impossible: exit code 2."""

from __future__ import annotations

from timeproof.errors.root import TimeproofError


class BadRequest(TimeproofError):
    """The request itself is wrong: an option, a name, a value."""

    exit_code = 2


class BadGridSize(BadRequest):
    def __init__(self, value: object) -> None:
        super().__init__(
            f"grid size {value!r} is not a positive whole number",
            advice="give --grid-size (or grid_size=) a whole number of 1 or more, such as 8",
        )
        self.value = repr(value)


class NotFound(BadRequest):
    """A named artifact, environment or file does not exist."""


class BadPlugin(BadRequest):
    """An installed plugin can't be used: its package is broken, or its names belong to another one."""
