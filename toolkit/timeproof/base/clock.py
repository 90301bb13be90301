"""The instants that files carry: now, in UTC, and the one fixed instant of reproducible files."""

from __future__ import annotations

import datetime

# The oldest instant that a ZIP can hold: the time of every file that we write into an image or a package,
# so that the same content gives the same bytes.
EPOCH = 315532800  # seconds since 1970
EPOCH_INSTANT = "1980-01-01T00:00:00Z"
EPOCH_IN_ZIP = (1980, 1, 1, 0, 0, 0)


def utc_now() -> str:
    """Return this second as the schema spells an instant: `2026-01-31T12:00:00Z`."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
