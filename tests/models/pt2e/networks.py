"""Small networks, each with one thing that placement has a rule for."""

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """A stem, a block with a skip, one with a convolution on either side, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.one = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(True))
        self.two = nn.Conv2d(8, 8, 3, padding=1)
        self.left = nn.Conv2d(8, 16, 1)
        self.right = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(torch.relu_(self.bn(self.stem(images))))
        x = torch.relu(self.two(self.one(x)) + x)
        x = torch.relu(self.left(x) + self.right(x))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


class Joined(nn.Module):
    """Two branches behind a concat and a pooling; the second concat feeds a BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.b = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.c = nn.Conv2d(8, 8, 1)
        self.bn = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(torch.cat([torch.relu(self.a(images)), torch.relu(self.b(images))], 1))
        x = self.bn(torch.cat([x, self.c(x)], 1))
        return self.fc(torch.relu(x).mean((2, 3)))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """One layer of a vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, stride=4)
        self.norm = nn.LayerNorm(32)
        self.attend = nn.MultiheadAttention(32, 4, batch_first=True)
        self.after = nn.LayerNorm(32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        y = self.norm(x)
        x = x + self.attend(y, y, y, need_weights=False)[0]
        x = x + self.mlp(self.after(x))
        return self.head(x.mean(1))  # type: ignore[no-any-return]


def warmed(network: nn.Module, images: Tensor) -> nn.Module:
    """The network with batch statistics of ``images``, for inference."""
    network.train()
    with torch.no_grad():
        network(images)
    return network.eval()
