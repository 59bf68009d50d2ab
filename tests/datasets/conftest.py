"""Small datasets on disk, and the real one where it is installed."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.datasets.fashion_mnist import DEBIAN_FOLDER


@pytest.fixture(scope="session")
def fashion_folder() -> Path:
    if not DEBIAN_FOLDER.is_dir():
        pytest.skip("dataset-fashion-mnist is not installed: make data")
    return DEBIAN_FOLDER


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """5 + 3 lossless 6x4 colour images in two classes, of random pixels."""
    rng = np.random.default_rng(7)
    for split, count in (("train", 5), ("test", 3)):
        for index in range(count):
            folder = tmp_path / "photos" / split / ("cat", "dog")[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (6, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index:04}.png")
    return tmp_path / "photos"


@pytest.fixture
def packed(photos: Path) -> Callable[..., Path]:
    """Packs the images into a tar of the given compression, below ``prefix``."""

    def pack(compression: str = "", prefix: str = "") -> Path:
        path = photos.parent / f"photos.tar{'.' + compression if compression else ''}"
        with tarfile.open(path, f"w:{compression}") as tar:  # type: ignore[call-overload]
            # In no useful order, as tars come.
            for file in sorted(photos.rglob("*.png"), key=lambda f: f.name, reverse=True):
                tar.add(file, prefix + file.relative_to(photos).as_posix())
        return path

    return pack
