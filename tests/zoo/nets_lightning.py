"""A Lightning module, as its tutorials write them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import vision_ops  # noqa: F401 - torchmetrics imports torchvision where it is there

# isort: split
import pytorch_lightning
import torch
from torch import nn


class Forecaster(pytorch_lightning.LightningModule):
    def __init__(self, inputs: int, hidden: int = 8, rate: float = 1e-2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        x, y = batch
        return nn.functional.mse_loss(self(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["rate"])


class Forgetful(Forecaster):
    """It keeps none of what it was built with."""

    def __init__(self, inputs: int) -> None:
        pytorch_lightning.LightningModule.__init__(self)
        self.save_hyperparameters(ignore=["inputs"])
        self.net = nn.Linear(inputs, 1)


def trained() -> Forecaster:
    return fitted()[0]


def checkpoint() -> tuple[Forecaster, Path]:
    """A module that was trained, and the checkpoint that its Trainer writes of it."""
    net, trainer = fitted()
    path = Path(tempfile.mkdtemp(prefix="zoo-")) / "last.ckpt"
    trainer.save_checkpoint(path)
    return net.eval(), path


def fitted() -> tuple[Forecaster, pytorch_lightning.Trainer]:
    """A few steps with the Trainer."""
    net = Forecaster(inputs=6, hidden=16)
    x = torch.randn(64, 6)
    rows = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
    trainer = pytorch_lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(net, torch.utils.data.DataLoader(rows, batch_size=16))
    return net, trainer
