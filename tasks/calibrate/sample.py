"""Which images to calibrate on."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from schemas.calibrate import CalibrationConfig
from schemas.errors import InputError
from tasks.datasets.dataset import Dataset

CHUNK = 256


def draw(
    candidates: Dataset, held_out: Dataset, config: CalibrationConfig
) -> tuple[NDArray[np.int64], str]:
    """Indices int64[images] of calibration images, and the digest of what they hold.

    Drawn at random without replacement, in an order that the seed fixes. An image that is also in
    ``held_out``, by content, is passed over, since accuracy is measured there. Raises InputError
    where not enough images are left.
    """
    if config.images > len(candidates):
        raise InputError(
            f"calibration.images: {config.images} asked for, and the {config.split} split has "
            f"{len(candidates)}: ask for at most that many"
        )
    measured_on = set(held_out.content_digests(np.arange(len(held_out), dtype=np.int64)))
    order = np.random.default_rng(config.seed).permutation(len(candidates)).astype(np.int64)
    chosen: list[int] = []
    contents: list[str] = []
    for start in range(0, len(order), CHUNK):
        part = order[start : start + CHUNK]
        for index, digest in zip(part.tolist(), candidates.content_digests(part), strict=True):
            if digest not in measured_on:
                chosen.append(index)
                contents.append(digest)
            if len(chosen) == config.images:
                return (
                    np.asarray(chosen, dtype=np.int64),
                    hashlib.sha256("\n".join(contents).encode()).hexdigest(),
                )
    raise InputError(
        f"calibration overlaps evaluation: of the {len(candidates)} images in calibration.split "
        f"{config.split!r} only {len(chosen)} are not among the test images that accuracy is "
        f"measured on, and calibration.images asks for {config.images}: calibrate on other images"
    )
