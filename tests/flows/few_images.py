"""A dataset factory for tests: the first real Fashion-MNIST images."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from schemas.data import DataConfig, FashionMnist
from tasks.datasets.open import open_dataset


class FewImages:
    def __init__(self, split: Literal["train", "test"], count: int) -> None:
        whole = open_dataset(DataConfig(fashion_mnist=FashionMnist()), split)
        self.pixels: NDArray[Any] = whole.pixels(np.arange(count))
        self.labels = whole.labels[:count]
        self.classes = whole.classes

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.pixels[index, 0]), int(self.labels[index])


class OneClass(FewImages):
    """Those of them that are ankle boots, under all ten classes' names."""

    def __init__(self, split: Literal["train", "test"], count: int) -> None:
        super().__init__(split, count * 15)
        boots = np.flatnonzero(self.labels == 9)[:count]
        self.pixels, self.labels = self.pixels[boots], self.labels[boots]
