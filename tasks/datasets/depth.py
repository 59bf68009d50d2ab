"""Grey images of more than 8 bits."""

import numpy as np
from PIL import Image


def converted(image: Image.Image, mode: str) -> Image.Image:
    """The image in an 8-bit ``mode``: of 16-bit grey the upper 8 bits, as Pillow reads colour.

    Its own conversion makes all above 255 white. Raises ValueError for 32 bits and for floats, of
    which no value is known to be white.
    """
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of Pillow's mode {image.mode}, of 32 bits")
    return image.convert(mode)
