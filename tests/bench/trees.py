"""Tree models to archive, trained once and read back: `timeproof archive trees.py` times no training."""

import os
from pathlib import Path

import numpy as np


def train(folder):
    """Train the demo's two classifiers on the digits, and lay them into `folder` with their inputs."""
    import lightgbm
    import xgboost
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = np.ascontiguousarray(x / 16.0, dtype=np.float32)
    forest = xgboost.XGBClassifier(n_estimators=40, max_depth=4, n_jobs=2, random_state=0).fit(x, y)
    forest.save_model(folder / "forest.ubj")
    leaves = lightgbm.LGBMClassifier(n_estimators=40, num_leaves=15, n_jobs=2, random_state=0, verbosity=-1)
    leaves.fit(x, y).booster_.save_model(folder / "leaves.txt")
    np.save(folder / "inputs.npy", x[:97])


def model_and_inputs():
    """The XGBoost classifier: 40 rounds, 10 classes, depth 4; 97 rows of 64 numbers."""
    import xgboost

    folder = Path(os.environ["TIMEPROOF_BENCH_MODELS"])
    model = xgboost.XGBClassifier()
    model.load_model(folder / "forest.ubj")
    return model, np.load(folder / "inputs.npy")


def leaves():
    """The LightGBM classifier's Booster."""
    import lightgbm

    folder = Path(os.environ["TIMEPROOF_BENCH_MODELS"])
    return lightgbm.Booster(model_file=str(folder / "leaves.txt")), np.load(folder / "inputs.npy")
