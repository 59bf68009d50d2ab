"""Contenders get the same number of calls in alternating blocks; ratios are of their medians."""

import numpy as np
from numpy.typing import NDArray

from schemas.profiling import ProfileConfig
from tasks.profiling.alternate import alternate
from tasks.profiling.distribution import latency_of, ratio_with_interval, speedup_of

BATCH = np.zeros((1, 1, 2, 2), dtype=np.float32)


class Recorder:
    """A session that writes down when it is called."""

    def __init__(self, name: str, diary: list[tuple[str, int]]) -> None:
        self.name, self.diary = name, diary

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return batch

    def time(self, batch: NDArray[np.float32], calls: int) -> NDArray[np.float64]:  # noqa: ARG002
        self.diary.append((self.name, calls))
        return np.full(calls, 1.0)


def test_blocks_alternate_and_warm_up_is_not_measured() -> None:
    diary: list[tuple[str, int]] = []
    contenders = {name: Recorder(name, diary) for name in ("int8", "float32")}
    config = ProfileConfig(rounds=2, warmup_calls=3, calls=5)
    times = alternate(contenders, BATCH, config, "test")
    one_round = [("int8", 3), ("int8", 5), ("float32", 3), ("float32", 5)]
    assert diary == one_round * 2
    assert times["int8"].shape == (2, 5)


def test_percentiles_are_of_all_calls() -> None:
    latency = latency_of("x", "int8", 1, 4, np.arange(1.0, 101.0).reshape(10, 10))
    assert (latency.min_ms, latency.median_ms, latency.calls) == (1.0, 50.5, 100)
    assert latency.p90_ms < latency.p95_ms < latency.p99_ms
    assert latency.images_per_second == 4 * 1000 / 50.5


def test_a_drift_that_hits_both_leaves_the_ratio() -> None:
    drift = np.linspace(1, 3, 12)[:, None]
    noise = np.random.default_rng(0).uniform(0.99, 1.01, (12, 20))
    speedup = speedup_of("x", 1, drift * noise, 2 * drift * noise)
    assert abs(speedup.ratio - 2) < 0.05
    assert speedup.ratio_low <= speedup.ratio <= speedup.ratio_high
    assert speedup.ratio_high - speedup.ratio_low < 0.1


def test_a_ratio_lies_in_its_interval_however_few_and_uneven_the_rounds() -> None:
    rng = np.random.default_rng(0)
    for rounds in (1, 2, 3, 15):
        of, over = (rng.lognormal(size=(rounds, 1)) * rng.uniform(1, 3, (rounds, 5)) for _ in "ab")
        ratio, low, high = ratio_with_interval(of, over)
        assert low <= ratio <= high
