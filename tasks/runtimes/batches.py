"""Feeding a network whose batch size is fixed."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from schemas.engine import ShapeRange
from schemas.errors import InputError

Floats = NDArray[np.float32]


def check_images(
    batch: Floats, expected: tuple[int, ...], where: str, *, exact: bool = False
) -> Floats:
    """``batch`` in contiguous memory, if its shape is ``expected``; there -1 stands for any size.

    The first dimension is the batch and may differ, see :func:`infer_in_batches`, unless ``exact``.
    Raises InputError where the rank or a dimension does not fit, the images are not float32, or not
    finite.
    """
    if batch.dtype != np.float32:
        raise InputError(
            f"images of type {batch.dtype} do not fit {where}: normalise them to float32, as for "
            "training"
        )
    if exact and expected[0] not in (-1, len(batch)):
        raise InputError(
            f"{where} takes {expected[0]} images at a time, not {len(batch)}: set "
            f"profile.batch_size to {expected[0]}, or export with dynamic_batch"
        )
    fits = batch.ndim == len(expected) and all(
        want in (-1, got) for got, want in zip(batch.shape[1:], expected[1:], strict=True)
    )
    if not fits:
        wanted = "x".join(["N", *("any" if size < 0 else str(size) for size in expected[1:])])
        raise InputError(
            f"images of shape {'x'.join(map(str, batch.shape))} do not fit {where}, which takes "
            f"{wanted}: resize the images or export the network for their size"
        )
    # The sum is one pass without a copy; finite values whose sum is not are looked at again.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(batch.sum())
    if suspicious and not np.isfinite(batch).all():
        broken = int(np.argmin(np.isfinite(batch).reshape(len(batch), -1).all(axis=1)))
        raise InputError(
            f"image {broken} of a batch of {len(batch)} holds NaN or infinite values: check how it "
            "was read, and data.mean and data.std"
        )
    return np.ascontiguousarray(batch)


def check_range(shape: tuple[int, ...], ranges: tuple[ShapeRange, ...], where: str) -> None:
    """Raises InputError where a shape is in none of the ranges that a plan was built for.

    Without ranges every shape is allowed.
    """
    if not ranges or any(holds(allowed, shape) for allowed in ranges):
        return
    built = " or ".join(f"{_sizes(allowed.min)} to {_sizes(allowed.max)}" for allowed in ranges)
    raise InputError(
        f"images of shape {_sizes(shape)} are outside {where}'s profile, {built}: take another "
        "batch or image size, or build with larger batch_sizes or profiles"
    )


def holds(allowed: ShapeRange, shape: tuple[int, ...]) -> bool:
    """Whether a shape has as many dimensions as a range, and each within it."""
    bounds = zip(allowed.min, shape, allowed.max, strict=False)
    return len(allowed.min) == len(shape) and all(low <= n <= high for low, n, high in bounds)


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def infer_in_batches(batch: Floats, size: int, call: Callable[[Floats], Floats]) -> Floats:
    """``call`` on slices of exactly ``size`` images; the last one is filled up by repetition.

    Returns the concatenated results, one row an image.
    """
    images = len(batch)
    results = []
    for start in range(0, images, size):
        part = batch[start : start + size]
        missing = size - len(part)
        if missing:
            part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
        results.append(call(part)[: size - missing])
    return np.concatenate(results)
