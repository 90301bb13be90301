"""Inputs for a LightGBM text model, made from the ranges of the features that stand in the file.

The same file gives the same inputs, on every machine and with every NumPy: PCG64's raw numbers are fixed.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

ROWS = 97


def inputs_for(model: Path) -> np.ndarray:
    """float64 [97, features]: within each feature's range, and now and then at its ends or missing."""
    found = re.search(r"^feature_infos=(.*)$", model.read_text(), re.MULTILINE)
    assert found, f"{model} states no ranges"
    infos = found[1].split(" ")
    raw = np.random.PCG64(20240607).random_raw(ROWS * len(infos)).reshape(ROWS, len(infos))
    share = (raw >> np.uint64(11)) * 2.0**-53
    table = np.zeros((ROWS, len(infos)))
    for k, info in enumerate(infos):
        if info == "none":
            continue
        if info.startswith("["):
            low, high = map(float, info[1:-1].split(":"))
            table[:, k] = low + (high - low) * share[:, k]
            table[0, k], table[1, k] = low, high
        else:
            kinds = np.array([float(n) for n in info.split(":")])
            table[:, k] = kinds[(share[:, k] * len(kinds)).astype(int)]
        table[2 + k % (ROWS - 2), k] = np.nan
    return table
