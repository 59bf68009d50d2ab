"""Intervals of a drop against a paired bootstrap and McNemar's test, also where nothing flips."""

import numpy as np
import pytest

from schemas.evaluate import Accuracy, AccuracyConfig
from tasks.evaluate.intervals import drop_interval, mcnemar_p
from tasks.evaluate.metrics import accuracy_gates, accuracy_of


@pytest.mark.parametrize(("lost", "won", "images"), [(140, 120, 10000), (30, 12, 1000)])
def test_the_interval_is_a_paired_bootstraps(lost: int, won: int, images: int) -> None:
    drawn = np.random.default_rng(0).multinomial(
        images, [lost / images, won / images, 1 - (lost + won) / images], size=20_000
    )
    low, high = np.percentile(100 * (drawn[:, 0] - drawn[:, 1]) / images, [2.5, 97.5])
    ours = drop_interval(lost, won, images)
    assert ours == pytest.approx((low, high), abs=0.05 * (high - low))


def test_without_a_flip_the_interval_still_has_a_width() -> None:
    """A bootstrap would claim that 300 images prove a drop of exactly nothing."""
    low, high = drop_interval(0, 0, 300)
    assert low == pytest.approx(-high)
    assert high == pytest.approx(100 * 1.96**2 / (300 + 1.96**2), rel=1e-3)


def test_turning_the_networks_round_turns_the_interval_round() -> None:
    low, high = drop_interval(30, 2, 500)
    assert drop_interval(2, 30, 500) == pytest.approx((-high, -low))


@pytest.mark.parametrize(
    ("lost", "won", "p"), [(0, 0, 1.0), (6, 0, 2 / 64), (5, 1, 14 / 64), (3, 3, 1.0)]
)
def test_mcnemars_exact_test(lost: int, won: int, p: float) -> None:
    assert mcnemar_p(lost, won) == pytest.approx(p)


def test_many_flips_do_not_overflow() -> None:
    assert mcnemar_p(40_000, 39_000) == pytest.approx(4e-4, rel=0.2)
    assert mcnemar_p(100_000, 0) == 0.0


def figures(lost: int, won: int, images: int) -> Accuracy:
    labels = np.zeros(images, np.int64)
    right, wrong = np.float32([[1, 0]]), np.float32([[0, 1]])
    before = np.repeat(right, images, 0)
    after = before.copy()
    before[:won] = wrong
    after[won : won + lost] = wrong
    return accuracy_of("engine", after, before, labels)


def test_every_accuracy_has_its_interval() -> None:
    accuracy = figures(lost=30, won=12, images=1000)
    assert accuracy.drop_points == pytest.approx(1.8)
    assert (accuracy.drop_low, accuracy.drop_high) == drop_interval(30, 12, 1000)
    assert accuracy.p_value == mcnemar_p(30, 12)


def test_the_measured_drop_decides_and_not_the_interval() -> None:
    accuracy = figures(lost=6, won=0, images=1000)
    assert accuracy.drop_low < 0.5 < accuracy.drop_points
    gate = accuracy_gates((accuracy,), AccuracyConfig(max_drop_points=0.5))[0]
    assert not gate.passed
    assert "95 % interval 0.2" in gate.detail
    assert "do not tell for sure" in gate.detail


def test_a_bound_beyond_the_interval_is_sure() -> None:
    accuracy = figures(lost=6, won=0, images=10_000)
    gate = accuracy_gates((accuracy,), AccuracyConfig(max_drop_points=0.5))[0]
    assert gate.passed
    assert "for sure" not in gate.detail
