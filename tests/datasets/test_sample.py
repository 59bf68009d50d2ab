"""Calibration images: drawn by the seed, never from what accuracy is measured on."""

import numpy as np
import pytest

from schemas.calibrate import CalibrationConfig
from schemas.errors import InputError
from tasks.datasets.dataset import Dataset, InMemory, Split
from tasks.datasets.sample import draw


def dataset(pixels: np.ndarray) -> Dataset:
    labels = np.zeros(len(pixels), dtype=np.int64)
    return Dataset("test", Split(InMemory(pixels), labels, ("a",), (1, 4, 4)), (0.0,), (1.0,))


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 4, 4), dtype=np.uint8)


def test_the_seed_decides_and_nothing_is_drawn_twice() -> None:
    candidates, held_out = dataset(images(100, 0)), dataset(images(10, 1))
    first, digest = draw(candidates, held_out, CalibrationConfig(images=50, seed=1))
    again, same = draw(candidates, held_out, CalibrationConfig(images=50, seed=1))
    other, another = draw(candidates, held_out, CalibrationConfig(images=50, seed=2))
    assert first.tolist() == again.tolist()
    assert digest == same
    assert first.tolist() != other.tolist()
    assert digest != another
    assert len(set(first.tolist())) == 50


def test_images_that_are_also_held_out_are_passed_over_by_content() -> None:
    pixels = images(20, 0)
    held_out = dataset(np.concatenate([pixels[:5], images(5, 1)]))
    chosen, _ = draw(dataset(pixels), held_out, CalibrationConfig(images=15))
    assert set(chosen.tolist()) == set(range(5, 20))
    with pytest.raises(InputError, match="only 15 are not among the test images"):
        draw(dataset(pixels), held_out, CalibrationConfig(images=16))
