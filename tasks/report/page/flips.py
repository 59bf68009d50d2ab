"""The test images that an engine sees otherwise than the FP32 network does."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.datasets.dataset import Dataset, Pixels

MOST_SHOWN = 24


@dataclass(frozen=True)
class Flip:
    """One image with what it is and what was made of it."""

    index: int
    picture: str
    """A PNG as a data URL."""
    truth: str
    float32: str
    engine: str
    now_right: bool


def find_flips(
    float32: NDArray[np.float32],
    engine: NDArray[np.float32],
    labels: NDArray[np.int64],
    indices: NDArray[np.int64],
    images: Dataset,
    classes: Sequence[str],
) -> list[Flip]:
    """The first images whose top-1 differs; those that went wrong come before the others.

    ``float32`` and ``engine`` are logits float32[N, classes], ``labels`` int64[N], and ``indices``
    int64[N] the places of the images they are of in ``images``.
    """
    before, after = float32.argmax(axis=1), engine.argmax(axis=1)
    flipped = np.flatnonzero(before != after)
    wrong_first = sorted(flipped.tolist(), key=lambda i: (before[i] != labels[i], i))[:MOST_SHOWN]
    if not wrong_first:
        return []
    pixels = images.pixels(indices[wrong_first])
    return [
        Flip(
            index=int(indices[row]),
            picture=_data_url(picture),
            truth=classes[labels[row]],
            float32=classes[before[row]],
            engine=classes[after[row]],
            now_right=bool(after[row] == labels[row]),
        )
        for row, picture in zip(wrong_first, pixels, strict=True)
    ]


def _data_url(pixels: Pixels) -> str:
    """uint8[C, H, W], or float32 on the 0..1 scale, as a PNG that a page can hold.

    Of images that are neither colour nor grey it shows the first channel.
    """
    if pixels.dtype != np.uint8:
        pixels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    picture = pixels.transpose(1, 2, 0) if len(pixels) in (3, 4) else pixels[0]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
