"""Calibrations in order of what their engines get right."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.convert import Observer
from schemas.sweep import SweepCandidate, SweepGroup, SweepReport, SweepRun
from tasks.evaluate.intervals import Z_95, drop_interval
from tasks.evaluate.metrics import accuracy_of

Floats = NDArray[np.float32]


def rank(
    candidates: Sequence[SweepCandidate],
    logits: Mapping[str, Floats],
    reference: Floats,
    labels: NDArray[np.int64],
) -> SweepReport:
    """The report of a sweep, best group first.

    ``logits`` are each candidate's float32[N, classes], by the digest of its answers' file;
    ``reference`` are the FP32 network's and ``labels`` int64[N].
    """
    runs = tuple(
        SweepRun(
            observer=c.observer,
            images=c.images,
            seed=c.seed,
            accuracy=accuracy_of(
                f"{c.observer}, {c.images} images, seed {c.seed}",
                logits[c.answers.file.sha256],
                reference,
                labels,
            ),
        )
        for c in candidates
    )
    keys: dict[tuple[Observer, int], list[int]] = {}
    for index, c in enumerate(candidates):
        keys.setdefault((c.observer, c.images), []).append(index)
    right = reference.argmax(1) == labels
    groups = []
    for (observer, images), members in keys.items():
        answers = [logits[candidates[i].answers.file.sha256].argmax(1) == labels for i in members]
        low, high = mean_drop_interval(right, np.stack(answers))
        drops = [runs[i].accuracy.drop_points for i in members]
        groups.append(
            SweepGroup(
                observer=observer,
                images=images,
                seeds=tuple(candidates[i].seed for i in members),
                top1=float(np.mean([runs[i].accuracy.top1 for i in members])),
                drop_points=float(np.mean(drops)),
                drop_low=low,
                drop_high=high,
                worst_drop_points=max(drops),
            )
        )
    return SweepReport(
        engine=candidates[0].answers.name,
        top1_float32=float(right.mean()),
        images=len(labels),
        groups=tuple(sorted(groups, key=lambda g: (g.drop_points, g.worst_drop_points))),
        runs=tuple(sorted(runs, key=lambda r: r.accuracy.drop_points)),
    )


def mean_drop_interval(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[float, float]:
    """The 95 % interval, in points, of the mean drop over several answers to the same images.

    ``before: bool[N]`` says which images were right, ``after: bool[seeds, N]`` which are. Images
    are the sample, paired; seeds are not, since a few of them say little about the spread.
    """
    images = len(before)
    if len(after) == 1:
        lost, won = int((before & ~after[0]).sum()), int((after[0] & ~before).sum())
        return drop_interval(lost, won, images)
    drops = before.astype(np.float64) - after.mean(0)
    # Without a flip the spread is zero, and 95 % would still leave room for three images' worth.
    margin = Z_95 * max(float(drops.std()), math.sqrt(Z_95**2 / images)) / math.sqrt(images)
    return 100 * (float(drops.mean()) - margin), 100 * (float(drops.mean()) + margin)
