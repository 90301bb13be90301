"""Models for the demo: scikit-learn's handwritten digits, at any grid size.

The digits come as 8×8 pictures; any other N is resampled to N×N. Each function returns what
`timeproof archive docs/demo/digits.py:FUNCTION` takes: the model, and the inputs to remember.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

HELD_OUT = 97  # rows of the reference: what the archived models are asked


def digits(grid_size):
    """The digits as float32 `[rows, N, N]` in 0..1, split into (train, labels, test, labels)."""
    pictures, labels = load_digits(return_X_y=True)
    pictures = torch.tensor(pictures.reshape(-1, 1, 8, 8) / 16.0, dtype=torch.float32)
    if grid_size != 8:
        pictures = nn.functional.interpolate(pictures, size=(grid_size, grid_size), mode="bilinear")
    x = pictures.squeeze(1).numpy()
    a, b, c, d = train_test_split(x, labels, test_size=0.25, random_state=0, stratify=labels)
    return a, c, b[:HELD_OUT].copy(), d[:HELD_OUT]


class DigitsCNN(nn.Module):
    """Two convolutions and two linear layers; takes `[rows, 1, N, N]`, gives `[rows, classes]`."""

    def __init__(self, grid_size, channels=16, classes=10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(min(4, grid_size)),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(2 * channels * min(4, grid_size) ** 2, 64),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(64, classes),
        )

    def forward(self, pictures):
        return self.classifier(self.features(pictures))


def cnn(grid_size=8, epochs=4):
    """Train the CNN; what it needs to be rebuilt goes with it."""
    torch.manual_seed(0)
    x, y, held_out, _ = digits(grid_size)
    init_args = {"grid_size": grid_size, "channels": 16, "classes": 10}
    model = DigitsCNN(**init_args)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_of = nn.CrossEntropyLoss()
    pictures, labels = torch.from_numpy(x).unsqueeze(1), torch.from_numpy(y).long()
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            loss_of(model(pictures[batch]), labels[batch]).backward()
            optimizer.step()
    return {
        "model": model.eval(),
        "inputs": {"pictures": held_out[:, None]},
        "init_args": init_args,
        "optimizer": optimizer,
        "epoch": epochs,
    }


def xgboost(grid_size=8):
    """Train an XGBoost classifier on the flattened pictures."""
    import xgboost

    x, y, held_out, _ = digits(grid_size)
    model = xgboost.XGBClassifier(n_estimators=40, max_depth=4, n_jobs=2, random_state=0)
    model.fit(x.reshape(len(x), -1), y)
    return model, held_out.reshape(len(held_out), -1)


def lightgbm(grid_size=8):
    """Train a LightGBM classifier on the flattened pictures."""
    import lightgbm

    x, y, held_out, _ = digits(grid_size)
    model = lightgbm.LGBMClassifier(n_estimators=40, num_leaves=15, n_jobs=2, random_state=0, verbosity=-1)
    model.fit(x.reshape(len(x), -1), y)
    return model, held_out.reshape(len(held_out), -1)


def model_and_inputs():
    """What `timeproof archive docs/demo/digits.py` archives: the CNN at grid size 8."""
    return cnn()


def inputs_of(grid_size):
    """The held-out pictures as the CNN takes them: float32 `[97, 1, N, N]`."""
    return np.ascontiguousarray(digits(grid_size)[2][:, None])
