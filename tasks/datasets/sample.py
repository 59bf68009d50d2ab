"""Which images to calibrate on."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.calibrate import CalibrationConfig
from schemas.errors import InputError
from tasks.datasets.dataset import Dataset

CHUNK = 256


@dataclass(frozen=True)
class Drawn:
    """``indices: int64[N]`` of images in the order drawn, and each one's own digest."""

    indices: NDArray[np.int64]
    contents: tuple[str, ...]
    left_out: int

    def sha256(self, images: int) -> str:
        """The digest of what the first so many images hold."""
        return hashlib.sha256("\n".join(self.contents[:images]).encode()).hexdigest()


def draw(
    candidates: Dataset, held_out: Dataset, config: CalibrationConfig
) -> tuple[NDArray[np.int64], str]:
    """Indices int64[images] of calibration images, and the digest of what they hold.

    As ``draw_at_most``, exactly as many as the job asks for.
    """
    drawn = draw_at_most(config.images, candidates, held_out, config)
    return drawn.indices, drawn.sha256(config.images)


def draw_at_most(
    most: int, candidates: Dataset, held_out: Dataset, config: CalibrationConfig
) -> Drawn:
    """Calibration images: ``most``, or as many as there are, and no fewer than the job asks for.

    Drawn at random without replacement, in an order that the seed fixes: fewer are the first of
    more. An image that is also in ``held_out``, by content, is passed over, since accuracy is
    measured there. Raises InputError where not enough images are left.
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
    left_out = 0
    for start in range(0, len(order), CHUNK):
        part = order[start : start + CHUNK]
        for index, digest in zip(part.tolist(), candidates.content_digests(part), strict=True):
            if len(chosen) == most:
                break
            if digest in measured_on:
                left_out += 1
                continue
            chosen.append(index)
            contents.append(digest)
        if len(chosen) == most:
            break
    if len(chosen) >= config.images:
        return Drawn(np.asarray(chosen, dtype=np.int64), tuple(contents), left_out)
    raise InputError(
        f"calibration overlaps evaluation: of the {len(candidates)} images in calibration.split "
        f"{config.split!r} only {len(chosen)} are not among the test images that accuracy is "
        f"measured on, and calibration.images asks for {config.images}: calibrate on other images"
    )
