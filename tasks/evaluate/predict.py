"""A network's answers for a whole set of images."""

from collections.abc import Iterable, Iterator
from itertools import tee

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InputError
from tasks.runtimes.protocol import OverlappedSession, Session


def measured_on(total: int, images: int | None) -> NDArray[np.int64]:
    """Places of the test images to answer, int64[N], in rising order: all, or ``images`` of them.

    Drawn at random, always the same: datasets are often in order of their classes.
    """
    count = min(images or total, total)
    return np.sort(np.random.default_rng(0).permutation(total)[:count]).astype(np.int64)


def predict(
    session: Session, batches: Iterable[NDArray[np.float32]], num_classes: int, name: str
) -> NDArray[np.float32]:
    """Logits float32[N, classes] for batches of float32[n, C, H, W].

    Raises InputError where the network's output is not one finite row of ``num_classes`` an image.
    """
    rows = []
    asked, given = tee(batches)
    answers: Iterator[NDArray[np.float32]] = (
        session.infer_many(given)
        if isinstance(session, OverlappedSession)
        else map(session.infer, given)
    )
    for batch, logits in zip(asked, answers, strict=True):
        if logits.shape != (len(batch), num_classes):
            raise InputError(
                f"{name} gives outputs of shape {tuple(logits.shape)} for {len(batch)} images of "
                f"{num_classes} classes: set the model's number of classes in model.kwargs"
            )
        rows.append(logits)
    logits = np.concatenate(rows)
    if not np.isfinite(logits).all():
        raise InputError(
            f"{name} gives logits that are not finite: check model.weights and data.mean/data.std"
        )
    return logits
