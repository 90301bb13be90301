"""XML as text, line by line. No IO here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from xml.sax.saxutils import escape, quoteattr

import numpy as np


def spell(value: float) -> str:
    """Spell a number so that it is read back as it is, by a reader of doubles and by one of floats."""
    return repr(float(value))


def spell_answer(value: object) -> str:
    """Spell an answer: of a float32 the shortest digits that give it back."""
    if isinstance(value, np.float32):
        return str(value)
    return repr(value.item() if isinstance(value, np.generic) else value)


class XmlLines:
    """Elements, written in their order."""

    def __init__(self) -> None:
        self.lines = ['<?xml version="1.0" encoding="UTF-8"?>']
        self._depth = 0

    def leaf(self, tag: str, text: str | None = None, **attributes: str | None) -> None:
        """Write an element without elements in it; an attribute that is None is left out."""
        inside = "/>" if text is None else f">{escape(text)}</{tag}>"
        self.lines.append(f"{self._indent}<{tag}{_spelled(attributes)}{inside}")

    @contextmanager
    def element(self, tag: str, **attributes: str | None) -> Iterator[None]:
        self.open(tag, **attributes)
        yield
        self.close(tag)

    def open(self, tag: str, **attributes: str | None) -> None:
        self.lines.append(f"{self._indent}<{tag}{_spelled(attributes)}>")
        self._depth += 1

    def close(self, tag: str) -> None:
        self._depth -= 1
        self.lines.append(f"{self._indent}</{tag}>")

    @property
    def _indent(self) -> str:
        return " " * min(self._depth, 20)

    def to_bytes(self) -> bytes:
        return ("\n".join(self.lines) + "\n").encode()


def _spelled(attributes: dict[str, str | None]) -> str:
    # A name that Python keeps for itself is given with a dash below: x_mathContext is x-mathContext.
    return "".join(
        f" {name.replace('x_', 'x-', 1) if name.startswith('x_') else name}={quoteattr(value)}"
        for name, value in attributes.items()
        if value is not None
    )
