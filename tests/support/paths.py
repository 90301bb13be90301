"""Where the repository's folders lie, and what a child process needs to import from them."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
REPOSITORY = TESTS.parent
# Modules as users have them: top-level, so that what is archived of them is what a user's own would be.
USER_CODE = TESTS / "user_code"


def child_environment(**changed: str) -> dict[str, str]:
    """Give this process's environment, by which a child imports `support` and what lies in USER_CODE."""
    paths = [str(TESTS), str(USER_CODE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **changed}
