"""Start a deployed flow on the server and follow it to its end."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
    WorkerFilter,
    WorkerFilterStatus,
)
from prefect.client.schemas.objects import FlowRun, Log, WorkerStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import DeploymentSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from schemas.errors import InputError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

# Prefect's client sends null for what is left out here, which its server refuses.
PAGE: Any = {"limit": 200, "sort": DeploymentSort.NAME_ASC}
POLL_S = 0.5
NOTHING_HAPPENS_S = 30.0
"""After so long without a worker taking the run, say what it waits for."""
LAST_LINES_S = 10.0
"""A run sends its lines in batches, the last of them after its last state: so long at most they are
waited for. One that was killed never sends them."""
LAST_LINE = "Finished in state"


def find_deployment(client: "SyncPrefectClient", name: str) -> DeploymentResponse:
    """The deployment ``flow/name``, or the only one called ``name``.

    Raises InputError where there is none or more than one.
    """
    wanted = DeploymentFilter(name=DeploymentFilterName(any_=[name.rpartition("/")[2]]))
    found = {
        f"{client.read_flow(each.flow_id).name}/{each.name}": each
        for each in client.read_deployments(deployment_filter=wanted, **PAGE)
    }
    if name in found:
        return found[name]
    if "/" not in name and len(found) == 1:
        return next(iter(found.values()))
    if "/" not in name and found:
        raise InputError(
            f"{len(found)} deployments are named {name}: give one in full with --deployment "
            f"({', '.join(sorted(found))})"
        )
    known = sorted(each.name for each in client.read_deployments(**PAGE))
    raise InputError(
        f"the server has no deployment {name} (known: {', '.join(known) or 'none'}): "
        "run `enginesmith deploy`"
    )


def check_pool(client: "SyncPrefectClient", deployment: DeploymentResponse) -> None:
    """Raises InputError where nobody would take the deployment's runs."""
    pool = deployment.work_pool_name
    if pool is None:
        raise InputError(
            f"the work pool of deployment {deployment.name} is gone: run `enginesmith deploy`"
        )
    if client.read_work_pool(pool).is_paused:
        raise InputError(
            f"the work pool {pool} is paused: resume it (prefect work-pool resume {pool})"
        )
    online = WorkerFilter(status=WorkerFilterStatus(any_=[WorkerStatus.ONLINE]))
    if not client.read_workers_for_work_pool(pool, online, offset=0, limit=1):
        raise InputError(
            f"no worker is online in the work pool {pool}: start one with `enginesmith worker`, or "
            "submit with --detach"
        )


def start(
    client: "SyncPrefectClient", deployment: DeploymentResponse, parameters: dict[str, Any]
) -> FlowRun:
    """A new run of a deployment.

    Raises InputError where its parameters do not fit its form.
    """
    try:
        return client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    except PrefectHTTPStatusError as error:
        if error.response.status_code not in (409, 422):
            raise
        raise InputError(
            f"deployment {deployment.name} does not take these parameters "
            f"({error.response.json().get('detail', error)}): correct them, or run "
            "`enginesmith deploy`"
        ) from error
    except ObjectNotFound as error:
        raise InputError(
            f"deployment {deployment.name} went away meanwhile: run `enginesmith deploy`"
        ) from error


def follow(client: "SyncPrefectClient", run: UUID, say: Callable[[str], None]) -> FlowRun:
    """Say what the run logs until it has ended, and give its last state."""
    said: set[UUID] = set()
    patient_until = time.monotonic() + NOTHING_HAPPENS_S
    ended_at: float | None = None
    all_told = False
    while True:
        now = client.read_flow_run(run)
        # Lines of another process may arrive late and shift the others: each is said once.
        lines = [line for line in _log_lines(client, run, len(said)) if line.id not in said]
        said.update(line.id for line in lines)
        for line in lines:
            # Prefect's own lines are of interest in its UI.
            if line.name == "enginesmith":
                say(line.message)
            all_told |= line.name == "prefect.flow_runs" and line.message.startswith(LAST_LINE)
        state = now.state
        if state is not None and state.is_final():
            ended_at = ended_at or time.monotonic()
            if all_told or time.monotonic() > ended_at + LAST_LINES_S:
                return now
        elif time.monotonic() > patient_until and state is not None and not state.is_running():
            say(f"still {str(state.name).lower()}: {state.message or 'waiting for a worker'}")
            patient_until = time.monotonic() + NOTHING_HAPPENS_S
        time.sleep(POLL_S)


def _log_lines(client: "SyncPrefectClient", run: UUID, offset: int) -> list[Log]:
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]), level=LogFilterLevel(ge_=20))
    return client.read_logs(wanted, limit=200, offset=offset)
