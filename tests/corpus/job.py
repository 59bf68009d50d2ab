"""Job files with a fault, beside a sound dataset."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from tests.corpus.case import Given

HERE = "tests.corpus.networks"
SOUND: dict[str, Any] = {
    "name": "sound",
    "model": {"factory": f"{HERE}:Small", "pretrained": True},
    "data": {"image_folder": {"path": "data"}},
    "calibration": {"images": 4},
    "engines": {"openvino": {}},
}


def text(name: str, content: str | bytes) -> Given:
    """A file of that content."""

    def give(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return give


def raw(content: str | bytes) -> Given:
    """``job.yaml`` of that content."""
    return text("job.yaml", content)


def job(**changes: Any) -> Given:
    """The sound job with nested ``changes``, written as ``a__b=value`` for ``a.b``."""
    document: dict[str, Any] = yaml.safe_load(yaml.safe_dump(SOUND))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = document
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return raw(yaml.safe_dump(document))


def network(factory: str, **changes: Any) -> tuple[Given, ...]:
    """The sound job with another network, and its images."""
    return dataset(), job(model__factory=f"{HERE}:{factory}", **changes)


def source(factory: str, **kwargs: Any) -> Given:
    """The sound job with a dataset from a factory."""
    return job(data={"factory": {"factory": f"{HERE}:{factory}", "kwargs": kwargs}})


def dataset(size: int = 8, mode: str = "RGB", suffix: str = "png") -> Given:
    """``data/train|test/<cat|dog>``: four images in each."""

    def give(folder: Path) -> None:
        for split in ("train", "test"):
            for shade, name in ((40, "cat"), (200, "dog")):
                place = folder / "data" / split / name
                place.mkdir(parents=True)
                for number in range(4):
                    pixels = np.full((size, size, 3), shade + 9 * number, np.uint8)
                    pixels[0, 0] = 255 if split == "test" else 0
                    image = Image.fromarray(pixels).convert("RGB" if mode == "I;16" else mode)
                    if mode == "I;16":
                        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
                    image.save(place / f"{number}.{suffix}")

    return give
