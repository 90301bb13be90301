"""Helpers of the tests of hostile environments lie beside those of honest ones."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "environment"))
