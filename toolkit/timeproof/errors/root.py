"""The root of every error, and how an error spells its facts. No IO here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar


def sayable(text: str) -> str:
    """Escape what no UTF-8 stream can hold: file names that are not UTF-8 come as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {sayable(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return sayable(str(value))


def _revive(
    kind: type[TimeproofError], args: tuple[object, ...], attributes: dict[str, object]
) -> TimeproofError:
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error


class TimeproofError(Exception):
    """The root. Carries facts (attributes) and, in `advice`, what to do next."""

    exit_code: ClassVar[int] = 1
    # Facts whose key in `--json` is not the attribute's name: attribute → key.
    fact_keys: ClassVar[Mapping[str, str]] = {}

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(sayable(message))
        self._message = sayable(message)
        self.advice = sayable(advice)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled as class(message), which no subclass here is made by; worker processes
        # hand errors back that way.
        return _revive, (type(self), self.args, vars(self))

    def __str__(self) -> str:
        return self.message

    @property
    def message(self) -> str:
        """What went wrong, in one sentence or a list."""
        return self._message

    @property
    def kind(self) -> str:
        """The class name, stable across releases: what `--json` calls the error."""
        return type(self).__name__

    def facts(self) -> dict[str, object]:
        """Return all facts of the error as plain values, for `--json`."""
        facts: dict[str, object] = {"error": self.kind, "message": self.message, "advice": self.advice}
        for name, value in vars(self).items():
            if not name.startswith("_") and name != "advice" and value is not None:
                facts[self.fact_keys.get(name, name)] = _plain(value)
        return facts
