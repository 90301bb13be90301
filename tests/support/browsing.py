"""A page that a test opened in a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Opened:
    """A report in a browser: the page, what it asked for, and what went wrong in it."""

    page: Any
    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def cell(self, artifact: str, environment: str) -> Any:
        return self.page.locator(f'.cell[aria-label^="{artifact}, {environment}:"]')

    def focused(self) -> str:
        label = self.page.evaluate(
            "document.activeElement.getAttribute('aria-label') ?? document.activeElement.id"
        )
        return str(label)
