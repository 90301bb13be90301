"""From an older schema to today's, by pure functions, one a step. No IO here.

Version 1 is the first, so there is no step yet. The next format adds `_from_1` to `_STEPS`; the
archives under tests/golden/v1 stay as they are, and are read through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timeproof.errors import Malformed, NewerSchema

_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def upgrade(value: object, path: object, *, newest: int) -> dict[str, Any]:
    """Return `value` as a document of schema version `newest`.

    Raises Malformed where there is no version, NewerSchema where it is from the future.
    """
    if not isinstance(value, dict):
        raise Malformed(path, ["the document is not an object"])
    version = value.get("schema")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise Malformed(path, [f"schema: {version!r} is not a schema version"])
    if version > newest:
        raise NewerSchema(path, version, newest)
    while version < newest:
        value = _STEPS[version](value)
        version += 1
    return value
