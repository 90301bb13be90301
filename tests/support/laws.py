"""How many examples Hypothesis tries: as many as a law asks for, a fifth of them in `make unit`."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

FULL = 100  # Hypothesis's own number, which profiles scale


def examples(count: int, **more: Any) -> settings:
    """Settings for a law that is tried with `count` examples, or the profile's share of them."""
    return settings(max_examples=max(5, count * settings().max_examples // FULL), **more)
