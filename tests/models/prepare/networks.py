"""Small networks as people write them: no stubs, plain sums, functions for activations."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

SHAPE = (3, 16, 16)


def warmed(model: nn.Module) -> nn.Module:
    """A network whose BatchNorm statistics are not those of initialisation."""
    torch.manual_seed(0)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, *SHAPE))
    return model.eval()


class Residual(nn.Module):
    """conv-BN-ReLU by a function, ``+=``, one ReLU module called twice, pooling by view."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.conv10 = nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(x)))
        y += x
        y = self.relu(self.conv10(self.relu(y)))
        y = F.max_pool2d(y, 4)
        return self.fc(y.view(y.size(0), -1))


class Gated(nn.Module):
    """Hardswish, SiLU, a squeeze-and-excite gate, ReLU6, a concatenation, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6())
        self.reduce = nn.Conv2d(8, 4, 1)
        self.expand = nn.Conv2d(4, 8, 1)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Hardswish())
        self.side = nn.Sequential(nn.Conv2d(8, 8, 1), nn.SiLU(inplace=True))
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1)))))
        z = torch.cat([x * gate, self.body(x), self.side(x)], 1)
        return self.fc(self.drop(z.mean([2, 3])))


class Shuffled(nn.Module):
    """chunk, a channel shuffle by shapes, and code that asks for shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 3 or len(x.shape) != 4:
            raise ValueError("three channels")
        a, b = torch.relu(self.conv1(x)).chunk(2, dim=1)
        y = torch.cat((a, self.conv2(b)), dim=1)
        batch, channels, height, width = y.size()
        y = y.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        y = y.view(batch, channels, height, width)
        return self.fc(F.adaptive_avg_pool2d(y, 1).flatten(1))


class SamePadding(nn.Conv2d):
    """A convolution of one's own, padded as TensorFlow does: on the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias, self.stride, self.padding)


class Own(nn.Module):
    """A subclass of Conv2d, and BatchNorm behind the ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = SamePadding(3, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(F.relu(self.conv1(x)))
        return self.fc(self.conv2(x).amax((2, 3)))


class Standardized(nn.Conv2d):
    """A convolution whose weights are computed from its parameters."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Recurrent(nn.Module):
    """One convolution, called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.cell = nn.Conv2d(8, 8, 3)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for _ in range(3):
            x = F.relu(self.cell(x))
        return self.fc(x.mean((2, 3)))


class HeadFirst(nn.Module):
    """The layer that runs last is the first to be defined."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 5)
        self.conv1 = nn.Conv2d(3, 8, 3)
        self.conv2 = nn.Conv2d(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv2(F.relu(self.conv1(x)))).mean((2, 3)))


class UntraceableHeadFirst(HeadFirst):
    def forward(self, x: Tensor) -> Tensor:
        if type(x) is not Tensor:
            raise TypeError("not a tensor")
        return super().forward(x)


class Tokens(nn.Module):
    """A BatchNorm1d behind a linear layer that takes one channel as a token: it norms tokens."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mix = nn.Linear(256, features)
        self.norm = nn.BatchNorm1d(3)
        self.fc = nn.Linear(3 * features, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.norm(self.mix(x.flatten(2)))).flatten(1))


class Tempered(Residual):
    """Reads a parameter as a number, and branches on it."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y / float(self.temperature) if self.temperature > 1 else y * self.temperature.item()


class Untraceable(nn.Module):
    """Code that only takes a real tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.unused = nn.Conv2d(3, 8, 3)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        if type(x) is not Tensor:
            raise TypeError("not a tensor")
        return self.fc(F.relu(self.conv(x)).mean((2, 3)))


class Deciding(Residual):
    """A branch on the values of the images."""

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() > 0:
            x = x * 2
        return super().forward(x)


class UntraceableDeciding(Untraceable):
    """Both."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y * 2 if float(y.sum()) > 0 else y
