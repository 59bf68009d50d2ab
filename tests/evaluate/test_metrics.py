"""Accuracy figures against counts made by hand, and gates at their bounds."""

import numpy as np
import pytest

from schemas.errors import InputError
from schemas.evaluate import AccuracyConfig
from tasks.evaluate.metrics import accuracy_gates, accuracy_of
from tasks.evaluate.predict import predict
from tasks.runtimes.torch import TorchSession

LABELS = np.array([0, 1, 2, 3], dtype=np.int64)


def one_hot(*answers: int, classes: int = 8) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[list(answers)]


def test_flips_are_counted_by_where_they_lead() -> None:
    before = one_hot(0, 1, 7, 7)  # two right
    after = one_hot(0, 6, 2, 6)  # one lost, one won, one wrong as another
    accuracy = accuracy_of("engine", after, before, LABELS)
    assert (accuracy.top1, accuracy.flips) == (0.5, 3)
    assert (accuracy.flips_to_wrong, accuracy.flips_to_right) == (1, 1)
    assert accuracy.drop_points == 0


def test_top5_holds_the_label_and_is_absent_for_few_classes() -> None:
    logits = np.tile(np.arange(8, dtype=np.float32), (4, 1))  # best five: 3 to 7
    assert accuracy_of("engine", logits, logits, LABELS).top5 == 0.25
    few = one_hot(0, 1, 2, 3, classes=4)
    assert accuracy_of("engine", few, few, LABELS).top5 is None


def test_a_drop_at_the_bound_passes_and_beyond_it_fails() -> None:
    accuracy = accuracy_of("engine", one_hot(0, 1, 2, 7), one_hot(0, 1, 2, 3), LABELS)
    assert accuracy.drop_points == 25
    passed = [
        accuracy_gates((accuracy,), AccuracyConfig(max_drop_points=bound))[0].passed
        for bound in (25.0, 24.9)
    ]
    assert passed == [True, False]


def test_logits_that_are_not_finite_are_refused() -> None:
    import torch

    class Broken(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 3), float("nan"))

    batch = np.zeros((2, 1, 4, 4), dtype=np.float32)
    with pytest.raises(InputError, match="not finite"):
        predict(TorchSession(Broken()), [batch], 3, "broken")
