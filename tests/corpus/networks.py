"""Factories of networks and datasets that a job may name, one fault each."""

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

NOT_CALLABLE = 3


class Small(nn.Module):
    """A sound network: images of any size to two classes."""

    def __init__(self, channels: int = 3, classes: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x)).mean((2, 3))


class Other(nn.Module):
    """Another sound network, with other names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)


class TwoInputs(Small):
    def forward(self, x: Tensor, mask: Tensor) -> Any:
        return super().forward(x * mask)


class TwoOutputs(Small):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), self.features(x)


class DictOutput(Small):
    def forward(self, x: Tensor) -> Any:
        return {"logits": super().forward(x)}


class OneAnswerForAll(Small):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).mean()


class Branching(Small):
    """Takes another way for bright images: no graph can say that."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(-x) if x.mean() > 0.5 else super().forward(x)


class ByPairs(Small):
    """No graph can be made of it, and two images, such as an example has, go another way."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Any:
        if type(x) is not Tensor:
            raise TypeError("not a tensor")
        return self.head(
            torch.relu(self.pairs(x)).mean((2, 3)) if len(x) == 2 else self.features(x)
        )


class Raising(Small):
    def forward(self, x: Tensor) -> Any:  # noqa: ARG002
        raise ValueError("no such luck\nand a second line.")


def state_dict() -> Any:
    return Small().state_dict()


def fails() -> nn.Module:
    raise RuntimeError("the moon is not right.")


def leaves() -> nn.Module:
    sys.exit("by myself")


def not_a_number() -> nn.Module:
    network = Small()
    network.conv.weight.data[0, 0, 0, 0] = float("nan")
    return network


def in_training() -> nn.Module:
    return Small().train()


class _Images:
    """Sixteen images of two classes, each with a first value of its own."""

    def __init__(self, first: float, labels: list[Any] | None = None) -> None:
        self.targets = [0, 1] * 8 if labels is None else labels
        self.first = first

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = np.full((3, 8, 8), index / 16, np.float32)
        image[0, 0, 0] = self.first
        return image, self.targets[index]


def images(split: str, **faults: Any) -> Any:
    return _Images(0.2 if split == "train" else 0.8, **faults)


def images_not_a_number(split: str) -> Any:
    return _Images(float("nan") if split == "train" else 0.8)


def images_none(split: str) -> Any:  # noqa: ARG001
    return []


def images_one_only(split: str) -> Any:  # noqa: ARG001
    return 1


def images_in_text(split: str) -> Any:  # noqa: ARG001
    return [("cat", 0), ("dog", 1)]
