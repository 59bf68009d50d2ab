"""Runs inside a run share what Prefect would make for each of them."""

from contextlib import nullcontext
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import TaskRun
from prefect.runtime import flow_run

from flows.pool import one_client

Clients = list[PrefectClient]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    """The HTTP clients with which runs inside a run are made known, each once."""
    used: Clients = []
    create = PrefectClient.create_task_run

    async def listed(self: PrefectClient, *given: Any, **named: Any) -> TaskRun:
        if self not in used:
            used.append(self)
        return await create(self, *given, **named)

    monkeypatch.setattr(PrefectClient, "create_task_run", listed)
    return used


def three_runs_inside(*, shared: bool) -> None:
    """Run a flow that runs three, each of which has to know whose it is."""

    @flow(name="inside")
    def inside() -> str | None:
        return flow_run.parent_flow_run_id

    @flow(name="above")
    def above() -> tuple[str | None, list[str | None]]:
        with one_client() if shared else nullcontext():
            return flow_run.id, [inside() for _ in range(3)]

    own, parents = above()
    assert parents == [own] * 3


@pytest.mark.usefixtures("prefect_server")
def test_runs_inside_a_run_share_one_client_which_is_closed_after_them(clients: Clients) -> None:
    three_runs_inside(shared=True)
    assert len(clients) == 1
    three_runs_inside(shared=True)
    assert len(clients) == 2
    assert all(client._closed for client in clients)


@pytest.mark.usefixtures("prefect_server")
def test_without_it_each_has_its_own(clients: Clients) -> None:
    three_runs_inside(shared=False)
    assert len(clients) == 3
