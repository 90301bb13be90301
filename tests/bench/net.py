"""A small PyTorch model to archive, in a module that imports torch alone: `timeproof archive net.py`."""

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    """Two convolutions and two linear layers, as in the demo: `[rows, 1, 8, 8]` to `[rows, 10]`."""

    def __init__(self, channels=16):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(32 * channels, 64), nn.ReLU(), nn.Linear(64, 10)
        )

    def forward(self, pictures):
        return self.classifier(self.features(pictures))


def model_and_inputs():
    """The model with fixed weights, and the pictures that bench.py laid out."""
    torch.manual_seed(0)
    x = np.load(Path(os.environ["TIMEPROOF_BENCH_MODELS"], "inputs.npy"))
    return {"model": Net().eval(), "inputs": x.reshape(-1, 1, 8, 8), "init_args": {"channels": 16}}
