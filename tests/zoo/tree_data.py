"""Tables for the zoo's trees: the same ones each time."""

from __future__ import annotations

import numpy as np

ROWS = 300


def table(columns: int = 8, *, missing: float = 0.0, seed: int = 7) -> np.ndarray:
    """float32 [300, columns]; a share of the values missing."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(ROWS, columns)).astype(np.float32)
    x[random.random(x.shape) < missing] = np.nan
    return x


def target(x: np.ndarray) -> np.ndarray:
    """A number for each row, that depends on some columns and a little chance."""
    filled = np.nan_to_num(x)
    noise = np.random.default_rng(11).normal(size=len(x)) * 0.1
    return filled[:, 0] * 2 + np.sin(filled[:, 1] * 2) + (filled[:, 2] > 0) * filled[:, 3] + noise


def classes(x: np.ndarray, count: int = 3) -> np.ndarray:
    """Thirds, or other parts, of the target."""
    y = target(x)
    return np.digitize(y, np.quantile(y, np.linspace(0, 1, count + 1)[1:-1]))


def groups() -> np.ndarray:
    """Queries of ten rows each."""
    return np.repeat(np.arange(ROWS // 10), 10)
