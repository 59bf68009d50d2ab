"""Resizing images that are already arrays."""

import numpy as np

from tasks.datasets.dataset import Indices, PixelReader, Pixels, Split


def resized(split: Split, size: tuple[int, int] | None) -> Split:
    """The split with images of ``size`` (height, width), resized as they are read; None: as is."""
    if size is None or size == split.shape[1:]:
        return split
    shape = (split.shape[0], *size)
    return Split(_Resizing(split.pixels, size), split.labels, split.classes, shape)


class _Resizing:
    """Bilinear with antialiasing, the filter that images in folders are resized with too."""

    def __init__(self, source: PixelReader, size: tuple[int, int]) -> None:
        self.source = source
        self.size = size

    def __call__(self, indices: Indices, /) -> Pixels:
        import torch

        images = torch.from_numpy(np.ascontiguousarray(self.source(indices)))
        result: Pixels = torch.nn.functional.interpolate(
            images, size=self.size, mode="bilinear", antialias=True
        ).numpy()
        return result
