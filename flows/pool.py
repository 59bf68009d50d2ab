"""Jobs on the work pool: each in a process of its own, or several one after another in one.

A process costs seconds of imports before it does anything. Where there are more jobs than any
night's workers run at once, that is shared: each run takes several, warm after its first.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import AsyncClientContext
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.utilities.asyncutils import run_coro_as_sync

from flows.deployed import build as build_job
from flows.heartbeat import runs_inside
from flows.run_log import log_to_server
from flows.submit import find_deployment
from schemas.errors import InputError
from tasks.progress import track

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

BUILD, SEVERAL = "build/build", "several/several"
BY_THEMSELVES = 32
"""So few jobs have a process each."""
RUNS_PER_PLACE = 4
"""So many one after another keep all places busy to the end, whatever each of them takes."""
MOST_PER_RUN = 100
"""What is built again, one by one, where the process of a run dies."""
UNLIMITED = 4
"""Places, where the deployment has no limit."""
POLL_S = 2.0
PAGE = 200
NOTHING_HAPPENS_S = 60.0
"""After so long without any build at work, say what they wait for."""

Ended = dict[str, tuple[UUID | None, State[Any]]]

log = logging.getLogger("enginesmith")


def several_run_name() -> str:
    """What the run is called in the UI."""
    names: list[str] = flow_run.parameters["names"]
    return f"{names[0]} and {len(names) - 1} more"


@flow(name="several", flow_run_name=several_run_name, persist_result=False)
def several(names: list[str]) -> State[Any]:
    """Build jobs of the worker's jobs folder one after another in one process.

    Args:
        names: Names of files in the jobs folder.
    """
    log_to_server()
    passed = sum(state.is_completed() for _, state in one_after_another(names).values())
    # Each job has a run of its own that says how it ended; this one did what it was to do.
    return Completed(message=f"{passed} of {len(names)} jobs passed")


def one_after_another(names: Sequence[str]) -> Ended:
    """Run jobs in this process, each as a run of its own; none stops the others."""
    states: Ended = {}
    with runs_inside(), one_client():
        for name in track(names, "nightly", len(names)):
            log.info("nightly: %s", name)
            state: State[Any] = build_job(name=name, return_state=True)
            states[name] = (state.state_details.flow_run_id, state)
            log.info("nightly: %s: %s", name, state.message)
    return states


@contextmanager
def one_client() -> Iterator[None]:
    """Runs started in here are made known with one HTTP client, not each with a new one.

    Prefect makes them known from a loop of its own, where it finds no client that the run above
    has: a new one reads all certificates and asks the server for a token.
    """
    shared = AsyncClientContext()
    run_coro_as_sync(shared.client.__aenter__())
    try:
        with shared:
            yield
    finally:
        run_coro_as_sync(shared.client.__aexit__(None, None, None))


def per_run(jobs: int, places: int) -> int:
    """How many jobs a run takes, of so many in all, where so many runs go on at a time."""
    return min(MOST_PER_RUN, math.ceil(jobs / (RUNS_PER_PLACE * places)))


def on_the_pool(names: Sequence[str], at_a_time: int | None = None) -> Ended:
    """Build jobs as runs of deployments, and wait for all of them.

    ``at_a_time`` jobs share a run; left out, as ``per_run`` says. A job whose run died is built
    once more, in a run of its own. Raises InputError where a deployment is not there.
    """
    many = len(names) > BY_THEMSELVES
    size = at_a_time or (per_run(len(names), _places()) if many else 1)
    runs = [list(names[start : start + size]) for start in range(0, len(names), size)]
    states = _wait([(_start(several), several) for several in runs])
    lost = [name for name in names if name not in states]
    if lost:
        log.warning("nightly: the run of %s died: each is built once more", ", ".join(lost))
        states |= _wait([(_start([name]), [name]) for name in lost])
    return {name: states[name] for name in names}


def _places() -> int:
    """How many runs of several jobs go on at a time, as the deployment says."""
    with get_client(sync_client=True) as client:
        limit = find_deployment(client, SEVERAL).global_concurrency_limit
    return limit.limit if limit and limit.limit else UNLIMITED


def _start(names: list[str]) -> UUID:
    deployment, parameters = SEVERAL, {"names": names}
    if len(names) == 1:
        deployment, parameters = BUILD, {"name": names[0]}  # type: ignore[dict-item]
    try:
        started = run_deployment(deployment, parameters=parameters, timeout=0)
    except ObjectNotFound as error:
        raise InputError(
            f"the server has no deployment {deployment}: run `enginesmith deploy`"
        ) from error
    assert isinstance(started, FlowRun)
    return started.id


def _wait(runs: list[tuple[UUID, list[str]]]) -> Ended:
    """How each job ended; of a run of several that died, only those that it had finished."""
    waiting, states = dict(runs), Ended()
    patient_until = time.monotonic() + NOTHING_HAPPENS_S
    with get_client(sync_client=True) as client:
        while waiting:
            at_work = False
            for run in _runs(client, FlowRunFilter(id=FlowRunFilterId(any_=list(waiting)))):
                at_work = at_work or (run.state is not None and not run.state.is_scheduled())
                if run.state is not None and run.state.is_final():
                    ended = _ended(client, run, waiting.pop(run.id))
                    states |= ended
                    for name, (_, state) in ended.items():
                        log.info("nightly: %s: %s", name, state.message)
            if at_work:
                patient_until = time.monotonic() + NOTHING_HAPPENS_S
            elif time.monotonic() > patient_until:
                log.warning(
                    "nightly: no worker takes %s: this run has one of its worker's places: start "
                    "another worker, or raise its --at-once",
                    ", ".join(name for names in waiting.values() for name in names),
                )
                patient_until = time.monotonic() + NOTHING_HAPPENS_S
            time.sleep(POLL_S if waiting else 0)
    return states


def _ended(client: "SyncPrefectClient", run: FlowRun, names: list[str]) -> Ended:
    assert run.state is not None
    if len(names) == 1:
        return {names[0]: (run.id, run.state)}
    inside = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]))
    return {
        str(child.parameters["name"]): (child.id, child.state)
        for child in _runs(client, inside)
        if child.state is not None and child.state.is_final()
    }


def _runs(client: "SyncPrefectClient", wanted: FlowRunFilter) -> Iterator[FlowRun]:
    for offset in range(0, 1_000_000, PAGE):
        page = client.read_flow_runs(
            flow_run_filter=wanted, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=offset
        )
        yield from page
        if len(page) < PAGE:
            return
