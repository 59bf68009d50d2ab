"""Images that a network cannot take are named, in one line."""

import numpy as np
import pytest

from schemas.engine import ShapeRange
from schemas.errors import InputError
from tasks.runtimes.batches import check_images, check_range

SHAPE = (-1, 3, 4, 4)


def images(*shape: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def test_fitting_images_are_taken_without_a_copy() -> None:
    batch = images(2, 3, 4, 4)
    assert check_images(batch, SHAPE, "the plan") is batch


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.float16])
def test_another_type_is_refused(dtype: type) -> None:
    with pytest.raises(InputError, match=rf"type {np.dtype(dtype)} do not fit .* float32"):
        check_images(images(2, 3, 4, 4).astype(dtype), SHAPE, "the plan")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_with_values_that_are_none_are_refused(value: float) -> None:
    batch = images(5, 3, 4, 4)
    batch[3, 1, 2, 2] = value
    with pytest.raises(InputError, match="image 3 of a batch of 5 holds NaN or infinite"):
        check_images(batch, SHAPE, "the plan")


def test_large_values_are_values() -> None:
    batch = np.full((2, 3, 4, 4), 3e38, np.float32)
    assert check_images(batch, SHAPE, "the plan") is batch


def test_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="2x3x5x4 do not fit the plan, which takes Nx3x4x4"):
        check_images(images(2, 3, 5, 4), SHAPE, "the plan")


def test_a_shape_may_be_in_any_of_the_profiles() -> None:
    small = ShapeRange(min=(1, 3, 4, 4), opt=(1, 3, 4, 4), max=(2, 3, 4, 4))
    large = ShapeRange(min=(8, 3, 4, 4), opt=(8, 3, 4, 4), max=(16, 3, 4, 4))
    for count in (1, 2, 8, 16):
        check_range((count, 3, 4, 4), (small, large), "the plan")
    with pytest.raises(InputError, match="1x3x4x4 to 2x3x4x4 or 8x3x4x4 to 16x3x4x4"):
        check_range((4, 3, 4, 4), (small, large), "the plan")
