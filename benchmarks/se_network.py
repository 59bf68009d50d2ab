"""A small residual network with squeeze-and-excite, written for PyTorch's eager quantization.

Source: Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks" (arXiv:1709.01507).
"""

from torch import Tensor, flatten, nn
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import DeQuantStub, QuantStub, fuse_modules


class SqueezeExcite(nn.Module):
    """Each channel times a gate that follows from the means of all: ``[N, C, H, W]`` to alike."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.relu = nn.ReLU()
        self.excite = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Sigmoid()
        self.times = FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(self.excite(self.relu(self.squeeze(self.pool(x)))))
        gated: Tensor = self.times.mul(x, gate)
        return gated


class Block(nn.Module):
    """Two 3x3 convolutions and a gate beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.se = SqueezeExcite(outputs, outputs // 4)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )
        self.add_relu = FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.se(self.bn2(self.conv2(y)))
        added: Tensor = self.add_relu.add_relu(y, self.shortcut(x))
        return added


class SeResNet(nn.Module):
    """``float32[N, in_channels, H, W]`` to logits ``float32[N, num_classes]``."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.quant = QuantStub()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(Block(16, 16, 2), Block(16, 32, 1), Block(32, 64, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)
        self.dequant = DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.relu(self.bn1(self.conv1(self.quant(x)))))
        logits: Tensor = self.dequant(self.fc(flatten(self.pool(x), 1)))
        return logits

    def fuse_model(self) -> None:
        """Fuse conv, BatchNorm and ReLU in place, in evaluation mode."""
        fuse_modules(self, ["conv1", "bn1", "relu"], inplace=True)
        for block in [module for module in self.modules() if isinstance(module, Block)]:
            fuse_modules(block, [["conv1", "bn1", "relu"], ["conv2", "bn2"]], inplace=True)
            fuse_modules(block.shortcut, ["0", "1"], inplace=True)
            fuse_modules(block.se, ["squeeze", "relu"], inplace=True)


def se_resnet(num_classes: int = 10, in_channels: int = 1) -> SeResNet:
    """Three blocks, 16 to 64 channels: 0.08 million parameters."""
    return SeResNet(num_classes, in_channels)
