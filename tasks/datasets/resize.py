"""Resizing to the network's input size."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from tasks.datasets.dataset import Indices, PixelReader, Pixels, Split


@dataclass(frozen=True)
class Resize:
    """To ``size`` (height, width), bilinear with antialiasing.

    ``center_crop`` is the share of the image that is cut from its middle first, in the proportions
    of ``size``; None: the whole image, stretched.
    """

    size: tuple[int, int]
    center_crop: float | None = None

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """What is kept of an image: left, top, right, bottom in whole pixels."""
        if self.center_crop is None:
            return 0, 0, width, height
        scale = self.center_crop * min(height / self.size[0], width / self.size[1])
        cut_height = max(1, round(scale * self.size[0]))
        cut_width = max(1, round(scale * self.size[1]))
        left, top = (width - cut_width) // 2, (height - cut_height) // 2
        return left, top, left + cut_width, top + cut_height

    def image(self, image: Image.Image) -> Image.Image:
        """One image of any size."""
        cut = image.crop(self.box(image.height, image.width))
        return cut.resize(self.size[::-1], Image.Resampling.BILINEAR)

    def arrays(self, images: Pixels) -> Pixels:
        """``[n, C, H, W]`` of any type to the same type and the new size."""
        import torch

        left, top, right, bottom = self.box(*images.shape[2:])
        cut = np.ascontiguousarray(images[:, :, top:bottom, left:right])
        result: Pixels = torch.nn.functional.interpolate(
            torch.from_numpy(cut), size=self.size, mode="bilinear", antialias=True
        ).numpy()
        return result


def resized(split: Split, resize: Resize | None) -> Split:
    """The split with its images resized as they are read; None: as they are."""
    if resize is None or (resize.size == split.shape[1:] and resize.center_crop is None):
        return split
    shape = (split.shape[0], *resize.size)
    return Split(_Resizing(split.pixels, resize), split.labels, split.classes, shape)


@dataclass(frozen=True)
class _Resizing:
    source: PixelReader
    resize: Resize

    def __call__(self, indices: Indices, /) -> Pixels:
        return self.resize.arrays(self.source(indices))
