"""How far a builder is reaches whoever runs it: from the start, once a second, to the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.engine import TensorRtRtxConfig
from schemas.errors import InputError
from tasks import progress
from tasks.engine.build import build_engine


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_it_is_told_of_at_most_once_a_second(clock: Clock) -> None:
    heard: list[tuple[str, float]] = []

    def steps() -> Iterator[int]:
        for step in range(100):
            clock.now += 0.25
            yield step

    with progress.reported_to(lambda label, percent: heard.append((label, percent))):
        assert list(progress.track(steps(), "building", 100)) == list(range(100))
    percents = [percent for _, percent in heard]
    assert percents == [4.0 * x for x in range(26)]
    assert {label for label, _ in heard} == {"building"}
    list(progress.track(range(3), "later", 3))
    assert len(heard) == 26


def test_a_real_build_starts_at_0_and_ends_at_100(int8_graph: Path, tmp_path: Path) -> None:
    heard: list[float] = []
    with progress.reported_to(lambda _, percent: heard.append(percent)):
        build_engine(int8_graph, "tensorrt_rtx", "int8", TensorRtRtxConfig(), tmp_path / "plan")
    assert (heard[0], heard[-1]) == (0.0, 100.0)
    assert heard == sorted(heard)


def test_a_build_that_fails_never_reaches_100(int8_graph: Path, tmp_path: Path) -> None:
    heard: list[float] = []
    options = TensorRtRtxConfig(compute_capability="9.0")
    with (
        progress.reported_to(lambda _, percent: heard.append(percent)),
        pytest.raises(InputError),
    ):
        build_engine(int8_graph, "tensorrt_rtx", "int8", options, tmp_path / "plan")
    assert 100.0 not in heard
