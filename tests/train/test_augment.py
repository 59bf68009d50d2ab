"""Crops and flips, and the learning rate."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.train.augment import augment, cutout
from tasks.train.schedule import one_cycle


@given(
    count=st.integers(1, 6),
    channels=st.integers(1, 3),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    padding=st.integers(0, 3),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_image_is_a_crop_of_itself_perhaps_mirrored(
    count: int, channels: int, height: int, width: int, padding: int, flip: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(1, 256, (count, channels, height, width), dtype=torch.uint8)
    result = augment(images, padding, flip, generator)
    assert result.shape == images.shape
    assert result.dtype == torch.uint8
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    for image, source in zip(result, padded, strict=True):
        crops = [
            source[:, y : y + height, x : x + width]
            for y in range(2 * padding + 1)
            for x in range(2 * padding + 1)
        ]
        candidates = crops + ([crop.flip(2) for crop in crops] if flip else [])
        assert any(torch.equal(image, candidate) for candidate in candidates)


def test_every_place_and_both_directions_are_used() -> None:
    images = torch.arange(1, 10, dtype=torch.uint8).reshape(1, 1, 3, 3).expand(2000, 1, 3, 3)
    result = augment(images, 1, True, torch.Generator().manual_seed(0))
    # Nine places for the crop, each as it is and mirrored.
    assert len({tuple(image.flatten().tolist()) for image in result}) == 18
    whole = (result != 0).flatten(1).all(1)
    assert whole.float().mean() == pytest.approx(1 / 9, abs=0.03)


def test_without_padding_and_flip_nothing_changes() -> None:
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(augment(images, 0, False, torch.Generator()), images)


@given(steps=st.integers(1, 500), peak=st.floats(1e-4, 10))
def test_the_learning_rate_rises_once_to_its_peak_and_falls_to_near_zero(
    steps: int, peak: float
) -> None:
    rates = [one_cycle(step, steps, peak) for step in range(steps)]
    top = rates.index(max(rates))
    assert all(0 < rate <= peak * (1 + 1e-9) for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if steps > 8:
        assert max(rates) == pytest.approx(peak)
        assert rates[-1] == pytest.approx(peak / 1e4)


def test_cutout_zeroes_a_square_within_reach_of_every_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.ones(500, 2, 8, 8).contiguous(memory_format=torch.channels_last)
    result = cutout(images, 4, generator)
    assert result.is_contiguous(memory_format=torch.channels_last)
    gone = (result == 0).all(dim=1)
    assert torch.equal(gone, (result == 0).any(dim=1))
    for hole in gone:
        rows, columns = hole.any(dim=1).nonzero(), hole.any(dim=0).nonzero()
        height, width = len(rows), len(columns)
        assert (int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1) == (height, width)
        assert hole.sum() == height * width
        assert 2 <= height <= 4
        assert 2 <= width <= 4
    assert gone.any(dim=0).all()
    assert gone.sum(dim=(1, 2)).max() == 16
