"""Accuracy figures from logits and labels."""

import numpy as np
from numpy.typing import NDArray

from schemas.base import Gate
from schemas.evaluate import Accuracy, AccuracyConfig
from tasks.evaluate.intervals import drop_interval, mcnemar_p


def accuracy_of(
    name: str,
    logits: NDArray[np.float32],
    reference: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> Accuracy:
    """Figures of one form of a network against the FP32 network's logits.

    ``logits`` and ``reference`` are float32[N, classes], ``labels`` int64[N].
    """
    answer, expected = logits.argmax(axis=1), reference.argmax(axis=1)
    right, right_before = answer == labels, expected == labels
    flipped = answer != expected
    lost = int((right_before & ~right).sum())
    won = int((right & ~right_before).sum())
    low, high = drop_interval(lost, won, len(labels))
    difference = logits.astype(np.float64) - reference
    return Accuracy(
        name=name,
        images=len(labels),
        top1=float(right.mean()),
        top5=_top5(logits, labels) if logits.shape[1] > 5 else None,
        flips=int(flipped.sum()),
        flips_to_wrong=lost,
        flips_to_right=won,
        logit_rmse=float(np.sqrt(np.mean(difference**2))),
        drop_points=(lost - won) * 100 / len(labels),
        drop_low=low,
        drop_high=high,
        p_value=mcnemar_p(lost, won),
    )


def _top5(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    best = np.argpartition(-logits, 5, axis=1)[:, :5]
    return float((best == labels[:, None]).any(axis=1).mean())


def accuracy_gates(engines: tuple[Accuracy, ...], config: AccuracyConfig) -> tuple[Gate, ...]:
    """Whether each engine's accuracy is within the job's bounds.

    The measured drop decides, not the most favourable end of its interval; where the bound lies
    within the interval, the gate says that more images would be needed to be sure.
    """
    gates = []
    for engine in engines:
        gates.append(
            Gate(
                name=f"{engine.name}: accuracy.max_drop_points",
                passed=engine.drop_points <= config.max_drop_points,
                detail=_drop_in_words(engine, config.max_drop_points),
            )
        )
        if config.min_top1 is not None:
            gates.append(
                Gate(
                    name=f"{engine.name}: accuracy.min_top1",
                    passed=engine.top1 >= config.min_top1,
                    detail=f"top-1 {engine.top1:.4f}, at least {config.min_top1:g} demanded",
                )
            )
    return tuple(gates)


def _drop_in_words(engine: Accuracy, bound: float) -> str:
    sure = (
        ""
        if not engine.drop_low <= bound < engine.drop_high
        else (f"; {engine.images:,} images do not tell for sure, the bound is within the interval")
    )
    return (
        f"lost {engine.drop_points:.2f} points of top-1 against FP32 (95 % interval "
        f"{engine.drop_low:.2f} to {engine.drop_high:.2f}), at most {bound:g} allowed{sure}"
    )
