"""The networks of the zoo: what torchvision lists, one size each, random weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

# 64 pixels for all others. VGG and AlexNet pool to a fixed size, which only their own input
# divides; MaxViT's partitions fit no smaller one; Inception needs 75.
SIZES = {"alexnet": 224, "maxvit_t": 224, "inception_v3": 96}
# Of each family that has members beyond the limit on parameters, the smallest of these.
REPRESENTATIVES = (
    *("vgg11", "vgg11_bn", "wide_resnet101_2", "regnet_x_32gf", "efficientnet_v2_l"),
    *("convnext_large", "vit_l_16"),
)
# Bodies of detectors and segmentation networks: name, parameters.
EXTRA = {
    "ssdlite_mobilenet_v3_large": 3_800_000,
    "mobilenet_v3_large_fpn": 4_800_000,
    "resnet50_fpn": 26_900_000,
    "fcn_resnet50": 33_000_000,
    "deeplabv3_resnet50": 39_600_000,
}


@dataclass(frozen=True)
class Entry:
    """A network of the zoo: its parameters decide its place in the queue."""

    name: str
    parameters: int
    size: int


def entries(most_parameters: int) -> list[Entry]:
    """Every classification architecture up to a number of parameters, smallest first.

    Besides them bodies of detectors, segmentation networks, and one network of each family that has
    larger ones.
    """
    found = []
    for name in torchvision.models.list_models(module=torchvision.models):
        weights = torchvision.models.get_model_weights(name)
        count = min(int(one.meta["num_params"]) for one in weights)
        if count <= most_parameters or name in REPRESENTATIVES:
            size = 224 if name.startswith("vgg") else SIZES.get(name, 64)
            found.append(Entry(name, count, size))
    found += [Entry(name, count, 64) for name, count in EXTRA.items()]
    return sorted(found, key=lambda entry: (entry.parameters, entry.name))


def make(name: str, size: int, images: Tensor) -> nn.Module:
    """A network with random weights and the batch statistics of ``images``, for inference."""
    torch.manual_seed(0)
    network = _construct(name, size)
    for label, parameter in network.named_parameters():
        # Some are made to start as nothing, and would show nothing.
        if label.endswith("layer_scale"):
            nn.init.constant_(parameter, 0.1)
        elif parameter.ndim == 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    network.train()
    with torch.no_grad():
        network(images)
    return network.eval()


def _construct(name: str, size: int) -> nn.Module:
    if name in _BODIES:
        return PooledLevels(_BODIES[name]())
    if name in ("fcn_resnet50", "deeplabv3_resnet50"):
        return SegmentationLogits(name)
    options: dict[str, Any] = {}
    if name.startswith("vit"):
        options = {"image_size": size}
    elif name in ("googlenet", "inception_v3"):
        options = {"init_weights": False, "aux_logits": False}
    network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return network


def _resnet50_fpn() -> nn.Module:
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    body: nn.Module = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
    )
    return body


def _mobilenet_v3_large_fpn() -> nn.Module:
    from torchvision.models.detection.backbone_utils import mobilenet_backbone

    body: nn.Module = mobilenet_backbone(
        backbone_name="mobilenet_v3_large",
        weights=None,
        fpn=True,
        norm_layer=nn.BatchNorm2d,
        trainable_layers=6,
    )
    return body


def _ssdlite_mobilenet_v3_large() -> nn.Module:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    detector = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    body: nn.Module = detector.backbone
    return body


_BODIES: dict[str, Callable[[], nn.Module]] = {
    "resnet50_fpn": _resnet50_fpn,
    "mobilenet_v3_large_fpn": _mobilenet_v3_large_fpn,
    "ssdlite_mobilenet_v3_large": _ssdlite_mobilenet_v3_large,
}


class PooledLevels(nn.Module):
    """The body of one of torchvision's detectors, its levels of features as one tensor.

    float32[N, 3, H, W] to float32[N, features]: each level, averaged over its positions.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        levels = self.body(images)
        return torch.cat([level.mean((2, 3)) for level in levels.values()], 1)


class SegmentationLogits(nn.Module):
    """A network of torchvision.models.segmentation, its main head: logits float32[N, 21, H, W]."""

    def __init__(self, name: str) -> None:
        super().__init__()
        make = getattr(torchvision.models.segmentation, name)
        self.network = make(weights=None, weights_backbone=None)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)["out"]
        return logits


class UNet(nn.Module):
    """One level: a skip by Concat, and ConvTranspose on the way up."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.deep = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.out = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 1))

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        joined = torch.cat([self.up(self.deep(self.pool(skip))), skip], 1)
        found: Tensor = self.out(joined)
        return found
