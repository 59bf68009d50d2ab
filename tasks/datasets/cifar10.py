"""CIFAR-10 in torchvision's format: 60,000 colour 32x32 images (Krizhevsky 2009)."""

import os

import numpy as np

from schemas.calibrate import Split as SplitName
from schemas.data import Cifar10
from schemas.errors import InputError
from tasks.datasets.cache import download_folder
from tasks.datasets.dataset import InMemory, Split

_GET = (
    "check the network, or name the folder of an earlier download with data.cifar10.root, "
    "or use images in folders with data.image_folder.path"
)


def load(config: Cifar10, split: SplitName) -> Split:
    """Read one split, downloading it at first. Raises InputError where that is not possible."""
    from torchvision.datasets import CIFAR10

    root = config.root or download_folder()
    if config.root is not None and not config.root.is_dir():
        raise InputError(f"data.cifar10.root: there is no folder {root}: {_GET}")
    arguments = {"root": os.fspath(root), "train": split == "train"}
    try:
        try:
            source = CIFAR10(**arguments)
        except RuntimeError:
            source = CIFAR10(**arguments, download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"CIFAR-10 is not in {root} and could not be downloaded ({error}): {_GET}"
        ) from error
    pixels = np.ascontiguousarray(source.data.transpose(0, 3, 1, 2))
    labels = np.asarray(source.targets, np.int64)
    return Split(InMemory(pixels), labels, tuple(source.classes), pixels.shape[1:])
