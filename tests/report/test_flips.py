"""The images that an engine sees otherwise, as a page shows them."""

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.datasets.dataset import Dataset, InMemory, Pixels, Split
from tasks.report.page.flips import find_flips


def shown(pixels: Pixels) -> NDArray[np.uint8]:
    """The picture of the only image, whose answer an engine changed."""
    split = Split(InMemory(pixels[None]), np.zeros(1, np.int64), ("a", "b"), pixels.shape)
    before, after = np.eye(2, dtype=np.float32)[[0]], np.eye(2, dtype=np.float32)[[1]]
    dataset = Dataset("one", split, (0.5,), (0.25,))
    place = np.zeros(1, np.int64)
    (flip,) = find_flips(before, after, dataset.labels, place, dataset, dataset.classes)
    _, _, encoded = flip.picture.partition(",")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_on_the_0_to_1_scale_are_drawn_as_their_bytes_are(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (channels, 8, 8), np.uint8)
    drawn = shown(pixels)
    assert (drawn.reshape(8, 8, channels) == pixels.transpose(1, 2, 0)).all()
    assert (shown(pixels.astype(np.float32) / 255) == drawn).all()
    assert (shown(pixels.astype(np.float32) / 255 * 3 - 1) != drawn).any()


def test_of_many_channels_the_first_is_drawn() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8)
    assert (shown(pixels) == pixels[0]).all()
