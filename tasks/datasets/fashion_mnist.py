"""Fashion-MNIST: 70,000 grey 28x28 images of clothes (Xiao, Rasul, Vollgraf, arXiv:1708.07747)."""

import gzip
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.calibrate import Split as SplitName
from schemas.data import FashionMnist
from schemas.errors import InputError
from tasks.datasets.cache import download_folder
from tasks.datasets.dataset import InMemory, Split

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_FILE = {"train": "train", "test": "t10k"}
_GET = (
    "install it (apt-get install dataset-fashion-mnist), or name a folder of the four IDX files "
    "with data.fashion_mnist.root"
)


def load(config: FashionMnist, split: SplitName) -> Split:
    """Read one split. Raises InputError where the files are missing or damaged."""
    folder = _folder(config)
    images = read_idx(_file(folder, f"{_FILE[split]}-images-idx3-ubyte"))
    labels = read_idx(_file(folder, f"{_FILE[split]}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or not len(images):
        raise InputError(
            f"Fashion-MNIST in {folder}: images {images.shape} and labels {labels.shape} of "
            f"{split} do not fit together: {_GET}"
        )
    if int(labels.max()) >= len(CLASSES):
        raise InputError(
            f"Fashion-MNIST in {folder}: label {labels.max()} of {split} is not one of "
            f"{len(CLASSES)} classes: {_GET}"
        )
    pixels = images[:, None]
    return Split(InMemory(pixels), labels.astype(np.int64), CLASSES, pixels.shape[1:])


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of bytes, gzipped or not, as an array of the shape in its header.

    Format: http://yann.lecun.com/exdb/mnist: two zero bytes, the type (8: unsigned byte), the
    number of dimensions, each as big-endian uint32, then the data.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}): {_GET}") from error
    dimensions = data[3] if len(data) > 3 else 0
    header = 4 + 4 * dimensions
    if data[:3] != b"\0\0\x08" or not dimensions or len(data) < header:
        raise InputError(f"{path} is not an IDX file of bytes: {_GET}")
    shape = tuple(np.frombuffer(data, ">u4", dimensions, 4).tolist())
    if len(data) - header != int(np.prod(shape)):
        raise InputError(
            f"{path} holds {len(data) - header} bytes where its header says {shape}: {_GET}"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _folder(config: FashionMnist) -> Path:
    if config.root is not None:
        if not config.root.is_dir():
            raise InputError(f"data.fashion_mnist.root: there is no folder {config.root}: {_GET}")
        return config.root
    return DEBIAN_FOLDER if DEBIAN_FOLDER.is_dir() else _download()


def _download() -> Path:
    from torchvision.datasets import FashionMNIST

    root = download_folder()
    folder: Path = root / "FashionMNIST" / "raw"
    if not all((folder / f"{name}-images-idx3-ubyte").exists() for name in _FILE.values()):
        try:
            FashionMNIST(os.fspath(root), download=True)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"Fashion-MNIST is not installed and could not be downloaded to {root} "
                f"({error}): {_GET}"
            ) from error
    return folder


def _file(folder: Path, name: str) -> Path:
    for base in (folder, folder / "FashionMNIST" / "raw"):
        for candidate in (base / f"{name}.gz", base / name):
            if candidate.is_file():
                return candidate
    raise InputError(f"Fashion-MNIST: {name}.gz is not in {folder}: {_GET}")
