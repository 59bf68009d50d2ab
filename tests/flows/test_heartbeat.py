"""Runs inside a run tell that they live, at once and again, and are over when they are over."""

import time

import pytest
from prefect import flow
from prefect.runtime import flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

import flows.heartbeat
from flows.heartbeat import EVENT, _every_s, heartbeat, runs_inside

Told = list[tuple[str, str]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """The events that are sent, and of which run."""
    sent: Told = []

    def emit(event: str, resource: dict[str, str]) -> None:
        sent.append((event, resource["prefect.resource.id"]))

    monkeypatch.setattr(flows.heartbeat, "emit_event", emit)
    return sent


def living(times: int, told: Told) -> str:
    """Run a flow that ends when so much has been told; gives its run's id."""

    # A parameter would be a copy.
    @flow(name="living")
    def run() -> str:
        with heartbeat():
            until = time.monotonic() + 30
            while len(told) < times and time.monotonic() < until:
                time.sleep(0.01)
        return str(flow_run.id)

    return run()


@pytest.mark.usefixtures("prefect_server")
def test_a_run_inside_tells_that_it_lives_until_it_is_over(told: Told) -> None:
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 30}), runs_inside():
        assert _every_s.get() == 30
        # Settings are whole seconds.
        often = _every_s.set(0.01)
        first = living(3, told)
        count = len(told)
        second = living(count + 2, told)
        _every_s.reset(often)
    assert told[:3] == [(EVENT, f"prefect.flow-run.{first}")] * 3
    assert {run for _, run in told[count + 1 :]} == {f"prefect.flow-run.{second}"}


@pytest.mark.usefixtures("prefect_server")
def test_a_run_by_itself_leaves_it_to_prefect(told: Told) -> None:
    living(0, told)
    assert told == []
