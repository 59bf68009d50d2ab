"""A dataset of the user's own: any callable that returns sized, indexable (image, label) pairs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from schemas.calibrate import Split as SplitName
from schemas.data import DatasetFactory
from schemas.errors import InputError, cause
from tasks.datasets.dataset import Indices, Pixels, Split
from tasks.models.factory import call


def load(config: DatasetFactory, split: SplitName) -> Split:
    """Call the factory for one split.

    An image may be a PIL image, ``uint8[H, W]``, ``uint8[H, W, C]`` or ``uint8``/``float32``
    ``[C, H, W]`` (NumPy or torch; float32 on the 0..1 scale); images are asked for when needed.
    Labels are ``set.targets`` where there is one, class names ``set.classes``, as torchvision's
    datasets have them.

    Raises InputError where the factory or what it returns is not as described.
    """
    found = call(config.factory, config.kwargs, split)
    name = f"dataset {config.factory}({split!r})"
    if not hasattr(found, "__len__") or not hasattr(found, "__getitem__"):
        raise InputError(
            f"{name} is a {type(found).__name__}: return a set with __len__ and __getitem__"
        )
    count = len(found)
    if not count:
        raise InputError(f"{name} is empty: return at least one (image, label)")
    labels = _labels(found, count, name)
    first = _image(found, 0, name)
    classes = getattr(found, "classes", None)
    names = (
        tuple(str(n) for n in classes)
        if classes is not None
        else tuple(str(n) for n in range(int(labels.max()) + 1))
    )
    if int(labels.min()) < 0 or int(labels.max()) >= len(names):
        raise InputError(
            f"{name} has labels {labels.min()}..{labels.max()} for {len(names)} classes: "
            "number them from 0"
        )
    channels, height, width = first.shape
    return Split(_Indexed(found, name, first), labels, names, (channels, height, width))


class _Indexed:
    def __init__(self, source: Any, name: str, first: Pixels) -> None:
        self.source = source
        self.name = name
        self.shape = first.shape
        self.dtype = first.dtype

    def __call__(self, indices: Indices, /) -> Pixels:
        pixels: Pixels = np.empty((len(indices), *self.shape), self.dtype)
        for row, index in enumerate(indices):
            image = _image(self.source, int(index), self.name)
            if image.shape != self.shape or image.dtype != self.dtype:
                raise InputError(
                    f"{self.name}: image {index} is {image.dtype}{list(image.shape)} and image 0 "
                    f"{self.dtype}{list(self.shape)}: return all alike"
                )
            pixels[row] = image
        return pixels


def _pair(source: Any, index: int, name: str) -> tuple[Any, Any]:
    try:
        image, label = source[index]
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{name}: item {index} cannot be had ({type(error).__name__}: {cause(error)}): return "
            "(image, label)"
        ) from error
    return image, label


def _labels(source: Any, count: int, name: str) -> NDArray[np.int64]:
    targets = getattr(source, "targets", None)
    values = [_pair(source, i, name)[1] for i in range(count)] if targets is None else targets
    try:
        labels = np.asarray(values).astype(np.int64, casting="same_kind")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name}: labels are not integers ({cause(error)}): number them from 0"
        ) from error
    if labels.shape != (count,):
        raise InputError(
            f"{name} has {count} images and labels of shape {list(labels.shape)}: return one "
            "label an image"
        )
    return labels


def _image(source: Any, index: int, name: str) -> Pixels:
    image = _pair(source, index, name)[0]
    interleaved = isinstance(image, Image.Image)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[None]
    elif pixels.ndim == 3 and (interleaved or _channels_last(pixels.shape)):
        pixels = pixels.transpose(2, 0, 1)
    if pixels.ndim != 3 or pixels.dtype not in (np.uint8, np.float32):
        raise InputError(
            f"{name}: image {index} is {pixels.dtype}{list(pixels.shape)}: return a PIL image, or "
            "uint8 or float32 of [C, H, W]"
        )
    if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
        raise InputError(
            f"{name}: image {index} holds NaN or infinite values: return finite ones, on the "
            "0..1 scale"
        )
    return pixels


def _channels_last(shape: tuple[int, ...]) -> bool:
    return shape[2] in (1, 3) and shape[0] not in (1, 3)
