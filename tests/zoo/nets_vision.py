"""Networks for pictures, built from plain arguments by torchvision, timm and segmentation-models."""

from __future__ import annotations

import vision_ops  # noqa: F401 - before torchvision

# isort: split
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from torch import nn


class FromTorchvision(nn.Module):
    """`torchvision.models.NAME(**more)`, with new weights."""

    def __init__(self, name: str, more: dict[str, object]) -> None:
        super().__init__()
        self.net = torchvision.models.get_model(name, weights=None, **more)

    def forward(self, pictures: torch.Tensor) -> object:
        return self.net(pictures)


class SegmentedByTorchvision(nn.Module):
    """`torchvision.models.segmentation.NAME`."""

    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        make = getattr(torchvision.models.segmentation, name)
        self.net = make(weights=None, weights_backbone=None, num_classes=classes)

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.net(pictures)


class VisionTransformer(torchvision.models.VisionTransformer):
    """A small one; its own arguments."""


class Swin(nn.Module):
    def __init__(self, width: int, depths: list[int], heads: list[int]) -> None:
        super().__init__()
        self.net = torchvision.models.SwinTransformer([4, 4], width, depths, heads, [4, 4], num_classes=10)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.net(pictures)


class FromTimm(nn.Module):
    def __init__(self, name: str, more: dict[str, object]) -> None:
        super().__init__()
        self.net = timm.create_model(name, pretrained=False, **more)

    def forward(self, pictures: torch.Tensor) -> object:
        return self.net(pictures)


class Segmenter(nn.Module):
    """`segmentation_models_pytorch.KIND`."""

    def __init__(self, kind: str, encoder: str, classes: int) -> None:
        super().__init__()
        self.net = getattr(smp, kind)(encoder, encoder_weights=None, classes=classes)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.net(pictures)


class FaceCandidates(nn.Module):
    """The three nets of MTCNN, with the weights that facenet-pytorch ships."""

    NETS = {"pnet": PNet, "rnet": RNet, "onet": ONet}  # noqa: RUF012 - read only

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.net = self.NETS[stage](pretrained=True)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.net(pictures)


class FaceEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = InceptionResnetV1(pretrained=None, classify=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.net(pictures)
