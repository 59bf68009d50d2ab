"""A small real training problem: some thousand images of clothes, halved in size."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from schemas.data import DataConfig, FashionMnist
from tasks.datasets.dataset import Dataset, InMemory, Split
from tasks.datasets.fashion_mnist import DEBIAN_FOLDER
from tasks.datasets.open import open_dataset
from tasks.models.resnet import ResNet


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def clothes() -> Callable[[str, int], Dataset]:
    """The first images of a split, 14x14."""
    if not DEBIAN_FOLDER.is_dir():
        pytest.skip("dataset-fashion-mnist is not installed: make data")
    config = DataConfig(fashion_mnist=FashionMnist(), image_size=(14, 14))

    def first(split: str, count: int) -> Dataset:
        whole = open_dataset(config, split)  # type: ignore[arg-type]
        pixels = whole.pixels(np.arange(count))
        part = Split(InMemory(pixels), whole.labels[:count], whole.classes, whole.input_shape)
        return Dataset(f"{split} part", part, (0.286,), (0.353,))

    return first


@pytest.fixture(scope="session")
def noise() -> Dataset:
    """300 images of noise, for claims in which nothing need be learnt."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (300, 1, 8, 8), dtype=np.uint8)
    labels = rng.integers(0, 10, 300)
    split = Split(InMemory(pixels), labels, tuple("abcdefghij"), (1, 8, 8))
    return Dataset("noise", split, (0.5,), (0.25,))


def small() -> nn.Module:
    return ResNet((1, 1), (8, 16), num_classes=10, in_channels=1)


@pytest.fixture
def build() -> Callable[[], nn.Module]:
    return small
