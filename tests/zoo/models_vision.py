"""Pictures: torchvision, timm, segmentation-models, facenet; each in a class of ours, and new weights."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import nets_vision
import torch
from nets_plain import UNet
from zoo_case import Made, model, wrong

# What facenet-pytorch 2.6.0 ships.
SHIPPED = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}


def pictures(size: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, size, size)


def made(net: torch.nn.Module, x: torch.Tensor, **init_args: Any) -> Made:
    """Batch statistics, and weights where there were zeros, as after some training; then evaluation mode."""
    net.train()
    with torch.no_grad():
        for weights in net.parameters():
            weights.add_(torch.randn_like(weights) * 0.02)
        net(torch.randn_like(x))
    net.eval()
    return Made(net, x, lambda: net(x), {"init_args": init_args})


def torchvision_net(name: str, size: int = 64, **more: Any) -> Made:
    args = {"name": name, "more": {"num_classes": 10, **more}}
    return made(nets_vision.FromTorchvision(**args), pictures(size), **args)


def timm_net(name: str, size: int = 64, **more: Any) -> Made:
    args = {"name": name, "more": more}
    return made(nets_vision.FromTimm(**args), pictures(size), **args)


@model("torchvision ResNet-18")
def torchvision_resnet18() -> Made:
    return torchvision_net("resnet18")


@model("torchvision MobileNet V3, small")
def torchvision_mobilenet() -> Made:
    return torchvision_net("mobilenet_v3_small")


@model("torchvision EfficientNet B0")
def torchvision_efficientnet() -> Made:
    return torchvision_net("efficientnet_b0")


@model("torchvision ShuffleNet V2")
def torchvision_shufflenet() -> Made:
    return torchvision_net("shufflenet_v2_x0_5")


@model("torchvision DenseNet-121")
def torchvision_densenet() -> Made:
    return torchvision_net("densenet121")


@model("torchvision SqueezeNet")
def torchvision_squeezenet() -> Made:
    return torchvision_net("squeezenet1_1")


@model("torchvision Swin, two stages")
def torchvision_swin() -> Made:
    args = {"width": 24, "depths": [2, 2], "heads": [2, 4]}
    return made(nets_vision.Swin(**args), pictures(64), **args)


@model("torchvision ViT with its own arguments")
def torchvision_vit() -> Made:
    args = {
        "image_size": 32,
        "patch_size": 8,
        "num_layers": 2,
        "num_heads": 4,
        "hidden_dim": 64,
        "mlp_dim": 128,
    }
    return made(nets_vision.VisionTransformer(**args), pictures(32), **args)


@wrong("the same ViT, with another number of heads in init_args", "init_args", "num_heads")
def torchvision_vit_wrong_heads() -> Made:
    right = torchvision_vit()
    args = {**right.options["init_args"], "num_heads": 8}
    return Made(right.model, right.inputs, right.answer, {"init_args": args, "onnx": False})


@model("torchvision DeepLab V3: a dictionary of planes")
def torchvision_deeplab() -> Made:
    args = {"name": "deeplabv3_mobilenet_v3_large", "classes": 3}
    return made(nets_vision.SegmentedByTorchvision(**args), pictures(64), **args)


@model("timm ViT tiny")
def timm_vit() -> Made:
    return timm_net("vit_tiny_patch16_224", img_size=64, num_classes=10)


@model("timm ResNet-10-T")
def timm_resnet() -> Made:
    return timm_net("resnet10t", num_classes=10)


@model("timm ConvNeXt atto")
def timm_convnext() -> Made:
    return timm_net("convnext_atto", num_classes=10)


@model("timm Mixer")
def timm_mixer() -> Made:
    return timm_net("mixer_s32_224", size=224, num_classes=10)


@model("timm LeViT")
def timm_levit() -> Made:
    return timm_net("levit_128s", size=224, num_classes=10)


@model("timm EfficientNet as a backbone: a list of feature maps")
def timm_features() -> Made:
    return timm_net("efficientnet_lite0", features_only=True)


def segmenter(kind: str, encoder: str, size: int = 64, classes: int = 2) -> Made:
    args = {"kind": kind, "encoder": encoder, "classes": classes}
    return made(nets_vision.Segmenter(**args), pictures(size), **args)


@model("segmentation-models U-Net on MobileNet V2")
def smp_unet() -> Made:
    return segmenter("Unet", "mobilenet_v2")


@model("segmentation-models FPN on ResNet-18")
def smp_fpn() -> Made:
    return segmenter("FPN", "resnet18")


@model("segmentation-models DeepLab V3+, one plane")
def smp_deeplab() -> Made:
    return segmenter("DeepLabV3Plus", "resnet18", classes=1)


@model("segmentation-models SegFormer")
def smp_segformer() -> Made:
    return segmenter("Segformer", "mit_b0")


@model("a U-Net of one file, one plane of 128 × 128")
def unet() -> Made:
    return made(UNet(16), pictures(128, 1), channels=16)


def face(stage: str, size: int) -> Made:
    spec = importlib.util.find_spec("facenet_pytorch")
    assert spec is not None
    assert spec.origin is not None
    weights = Path(spec.origin).parent / "data" / f"{stage}.pt"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == SHIPPED[stage], weights
    net = nets_vision.FaceCandidates(stage).eval()
    x = torch.rand(3, 3, size, size) * 2 - 1
    return Made(net, x, lambda: net(x), {"init_args": {"stage": stage}})


@model("facenet-pytorch P-Net, the weights that it ships")
def facenet_pnet() -> Made:
    return face("pnet", 48)


@model("facenet-pytorch R-Net, the weights that it ships")
def facenet_rnet() -> Made:
    return face("rnet", 24)


@model("facenet-pytorch O-Net, the weights that it ships")
def facenet_onet() -> Made:
    return face("onet", 48)


@model("facenet-pytorch Inception-ResNet, new weights")
def facenet_embedding() -> Made:
    net = nets_vision.FaceEmbedding().eval()
    x = pictures(96)
    return Made(net, x, lambda: net(x))
