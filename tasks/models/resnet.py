"""Residual networks for small images, quantizable in PyTorch's eager mode.

Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (arXiv:1512.03385):
section 4.2 for the CIFAR networks, with projection shortcuts; ResNet-18 with the first layer that
is usual for 32x32 images, a 3x3 convolution without stride and no pooling.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import DeQuantStub, QuantStub, fuse_modules, fuse_modules_qat


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: ``[N, inputs, H, W]`` to ``[N, outputs, H', W']``."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        # A functional in the plain sense has no place for an observer.
        self.add_relu = FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        result: Tensor = self.add_relu.add_relu(y, self.shortcut(x))
        return result


class ResNet(nn.Module):
    """A 3x3 stem, stages of blocks that halve the resolution, average pooling, one linear layer.

    ``forward``: ``float32[N, in_channels, H, W]`` to logits ``float32[N, num_classes]``.
    """

    def __init__(
        self, blocks: Sequence[int], widths: Sequence[int], num_classes: int, in_channels: int
    ) -> None:
        super().__init__()
        self.quant = QuantStub()
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        stages = []
        inputs = widths[0]
        for index, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            strides = [1 if index == 0 else 2, *[1] * (count - 1)]
            stages.append(
                nn.Sequential(
                    *(Block(inputs if i == 0 else width, width, s) for i, s in enumerate(strides))
                )
            )
            inputs = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, num_classes)
        self.dequant = DeQuantStub()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(self.quant(x))))
        x = self.pool(self.stages(x))
        logits: Tensor = self.dequant(self.fc(torch.flatten(x, 1)))
        return logits

    def fuse_model(self, is_qat: bool = False) -> None:
        """Fuse conv, BatchNorm and ReLU in place: in evaluation mode, or for QAT in training."""
        fuse: Callable[..., nn.Module] = fuse_modules_qat if is_qat else fuse_modules
        fuse(self, ["conv1", "bn1", "relu"], inplace=True)
        for block in [module for module in self.modules() if isinstance(module, Block)]:
            fuse(block, [["conv1", "bn1", "relu"], ["conv2", "bn2"]], inplace=True)
            if isinstance(block.shortcut, nn.Sequential):
                fuse(block.shortcut, ["0", "1"], inplace=True)


def resnet20(num_classes: int = 10, in_channels: int = 1) -> ResNet:
    """Three stages of three blocks, 16 to 64 channels: 0.27 million parameters."""
    return ResNet((3, 3, 3), (16, 32, 64), num_classes, in_channels)


def resnet18_cifar(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """Four stages of two blocks, 64 to 512 channels: 11.2 million parameters."""
    return ResNet((2, 2, 2, 2), (64, 128, 256, 512), num_classes, in_channels)
