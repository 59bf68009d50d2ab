"""Images to measure parity on, for a graph that comes without a job file."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from schemas.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
NOISE_IMAGES = 8


def input_shape(model: onnx.ModelProto, open_size: int) -> tuple[int, int, int, int]:
    """Batch, channels, height and width of the graph's first input.

    ``open_size`` pixels stand in for an open height or width; an open batch is 1. Raises
    InputError where the input is not a batch of images.
    """
    given = model.graph.input[0]
    dims = [x.dim_value if x.HasField("dim_value") else 0 for x in given.type.tensor_type.shape.dim]
    if len(dims) != 4 or given.type.tensor_type.elem_type != onnx.TensorProto.FLOAT or not dims[1]:
        raise InputError(
            f"input {given.name!r} is not float32 [N, C, H, W], so that parity cannot be measured "
            "on images: run with --no-parity"
        )
    return dims[0] or 1, dims[1], dims[2] or open_size, dims[3] or open_size


def noise(shape: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """``float32[N, C, H, W]`` of unit variance: enough to compare graphs, not to judge accuracy."""
    batch, channels, height, width = shape
    count = max(batch, NOISE_IMAGES)
    generator = np.random.default_rng(0)
    return generator.standard_normal((count, channels, height, width)).astype(np.float32)


def load_images(
    folder: Path,
    shape: tuple[int, int, int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    limit: int,
) -> NDArray[np.float32]:
    """The first ``limit`` images under a folder, by name, as ``float32[N, C, H, W]``.

    Each is resized to the network's height and width and scaled to (x / 255 - mean) / std.
    Raises InputError where the folder has none or one cannot be read.
    """
    from PIL import Image

    if not folder.is_dir():
        raise InputError(f"there is no folder of calibration images {folder}: correct the path")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in _SUFFIXES)
    if not files:
        raise InputError(
            f"{folder} holds no images: put some there ({', '.join(sorted(_SUFFIXES))})"
        )
    batch, channels, height, width = shape
    for option, given in (("--mean", mean), ("--std", std)):
        if len(given) not in (1, channels):
            raise InputError(
                f"{option} has {len(given)} numbers, the network takes {channels} channels: give "
                "one number or one a channel"
            )
    if channels not in (1, 3):
        raise InputError(
            f"the network takes {channels} channels, image files have 1 or 3: run without "
            "--calibration-images"
        )
    # Spread over the sorted names, so that a folder for each class gives some of each.
    chosen = [files[i] for i in np.linspace(0, len(files) - 1, min(limit, len(files))).astype(int)]
    arrays = []
    for file in chosen:
        try:
            with Image.open(file) as image:
                pixels = _converted(image, "L" if channels == 1 else "RGB").resize((width, height))
                values = np.asarray(pixels, np.float32).reshape(height, width, channels)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(f"{file} cannot be decoded ({error}): replace or remove it") from error
        arrays.append((values / 255 - np.array(mean, np.float32)) / np.array(std, np.float32))
    if len(arrays) < batch:
        raise InputError(
            f"{folder}: the network takes batches of {batch}, {len(arrays)} images found: add "
            "some, or raise --images"
        )
    return np.ascontiguousarray(np.stack(arrays).transpose(0, 3, 1, 2), np.float32)


def _converted(image: "Image.Image", mode: str) -> "Image.Image":
    """As tasks/datasets/depth.py, which is no part of what surgery's results depend on."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of Pillow's mode {image.mode}, of 32 bits")
    return image.convert(mode)
