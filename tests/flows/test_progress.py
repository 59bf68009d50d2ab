"""The progress of a run costs the server few requests, and ends at 100 %."""

import uuid
from typing import Any

import pytest

import flows.progress
from flows.progress import advance, progress_of
from tests.flows.conftest import small_job

Shown = list[tuple[str, float]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What is sent to the server, and its percentage."""
    sent: Shown = []

    def create(**given: Any) -> uuid.UUID:
        sent.append((given["key"], given["progress"]))
        return uuid.uuid4()

    def update(_: uuid.UUID, **given: Any) -> None:
        sent.append(("update", given["progress"]))

    monkeypatch.setattr(flows.progress, "create_progress_artifact", create)
    monkeypatch.setattr(flows.progress, "update_progress_artifact", update)
    return sent


def test_a_run_that_is_over_at_once_shows_its_start_and_its_end(shown: Shown) -> None:
    with progress_of(small_job()):
        for stage in ("dataset", "calibrate", "report"):
            advance(stage)
    assert shown == [("progress-small", 0.0), ("update", 100.0)]


def test_a_longer_one_is_shown_on_its_way(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.progress, "SECONDS_BETWEEN_UPDATES", 0.0)
    with progress_of(small_job()):
        advance("dataset")
        advance("calibrate")
    assert [what for what, _ in shown] == ["progress-small", *["update"] * 3]
    percentages = [percent for _, percent in shown]
    assert percentages == sorted(set(percentages))
    assert (percentages[0], percentages[-1]) == (0.0, 100.0)
