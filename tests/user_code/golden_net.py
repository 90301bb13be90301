"""The golden network: convolution, pooling, an LSTM, an embedding and a head.

Nothing in it goes through an approximate square root, which differs between makers of CPUs.
"""

import torch
from torch import nn


class GoldenNet(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.embed = nn.Embedding(5, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, pictures: torch.Tensor, kinds: torch.Tensor) -> dict[str, torch.Tensor]:
        seen = torch.relu(self.conv(pictures))
        pooled = torch.max_pool2d(seen, 2).flatten(2).transpose(1, 2)
        states, _ = self.lstm(pooled + self.embed(kinds)[:, None, :])
        scores = self.head(states[:, -1])
        return {"scores": scores, "probabilities": torch.softmax(scores, 1)}
