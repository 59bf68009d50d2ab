"""Feeding a network whose batch size is fixed."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InputError

Floats = NDArray[np.float32]


def check_images(
    batch: Floats, expected: tuple[int, ...], where: str, *, exact: bool = False
) -> Floats:
    """``batch`` as contiguous float32, if its shape is ``expected``; there -1 stands for any size.

    The first dimension is the batch and may differ, see :func:`infer_in_batches`, unless ``exact``.
    Raises InputError where the rank or a dimension does not fit.
    """
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
    return np.ascontiguousarray(batch, dtype=np.float32)


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
