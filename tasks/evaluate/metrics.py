"""Accuracy figures from logits and labels."""

import numpy as np
from numpy.typing import NDArray

from schemas.base import Gate
from schemas.evaluate import Accuracy, AccuracyConfig


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
    difference = logits.astype(np.float64) - reference
    return Accuracy(
        name=name,
        images=len(labels),
        top1=float(right.mean()),
        top5=_top5(logits, labels) if logits.shape[1] > 5 else None,
        flips=int(flipped.sum()),
        flips_to_wrong=int((right_before & ~right).sum()),
        flips_to_right=int((right & ~right_before).sum()),
        logit_rmse=float(np.sqrt(np.mean(difference**2))),
        drop_points=float((right_before.sum() - right.sum()) * 100 / len(labels)),
    )


def _top5(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    best = np.argpartition(-logits, 5, axis=1)[:, :5]
    return float((best == labels[:, None]).any(axis=1).mean())


def accuracy_gates(engines: tuple[Accuracy, ...], config: AccuracyConfig) -> tuple[Gate, ...]:
    """Whether each engine's accuracy is within the job's bounds."""
    gates = []
    for engine in engines:
        gates.append(
            Gate(
                name=f"{engine.name}: accuracy.max_drop_points",
                passed=engine.drop_points <= config.max_drop_points,
                detail=f"lost {engine.drop_points:.2f} points of top-1 against FP32, "
                f"at most {config.max_drop_points:g} allowed",
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
