"""What an image's config says of the process that it starts: entry point, command, variables. No IO here.

The config may be a stranger's, so each value is checked before anything is started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timeproof.engines.protocol import RunSpec
from timeproof.errors import Malformed


@dataclass(frozen=True, slots=True)
class Process:
    """How an image starts: its entry point, the arguments by default, and its environment variables."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    variables: Mapping[str, str]

    @classmethod
    def parse(cls, value: object, path: object) -> Process:
        """Read the field `config` of an image's config. `path` is only for the messages.

        Raises Malformed, which names each field that is not as the image specification says.
        """
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise Malformed(path, [f"its config is {type(value).__name__}, not an object"])
        issues: list[str] = []
        entrypoint, command, entries = (_texts(value, name, issues) for name in ("Entrypoint", "Cmd", "Env"))
        if issues:
            raise Malformed(path, issues)
        # The image specification wants NAME=VALUE. What has no `=` sets nothing.
        variables = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        return cls(entrypoint, command, variables)

    def words(self, spec: RunSpec) -> list[str]:
        """The command line of a container; the arguments of the image count where `spec` has none."""
        if spec.entrypoint is not None:
            return [*spec.entrypoint, *spec.argv]
        return [*self.entrypoint, *(spec.argv or self.command)]


def _texts(config: Mapping[str, Any], name: str, issues: list[str]) -> tuple[str, ...]:
    values = config.get(name)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(_is_argument(value) for value in values):
        issues.append(f"its {name} is {values!r:.80}, not a list of texts")
        return ()
    return tuple(values)


def _is_argument(value: object) -> bool:
    """Whether the kernel takes it as an argument or a variable of a program."""
    return isinstance(value, str) and "\0" not in value and _is_utf8(value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
