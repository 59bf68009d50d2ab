"""A service whose parts tests kill: Postgres, server and worker, all of them real processes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.parts import Part, Parts, alive, family, kill, until, volume
from tests.crash.plant import AT_ONCE_S, Plant
from tests.operations.conftest import BIN, Service, service  # noqa: F401

HOLD = Path(__file__).parent / "hold"


@pytest.fixture(scope="session")
def plant(
    service: Service,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Plant]:
    parts = Parts(service.state)
    first = parts.get("worker")
    first.end(signal.SIGKILL)
    hold = tmp_path_factory.mktemp("hold")
    with volume(tmp_path_factory.mktemp("store"), "256m") as place, service.client() as client:
        changes = {
            "ENGINESMITH_ARTIFACTS": str(place.folder),
            "CRASH_HOLD": str(hold),
            "PYTHONPATH": os.pathsep.join([str(HOLD), os.environ.get("PYTHONPATH", "")]),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        command = [str(BIN / "enginesmith"), "worker"]
        worker = Part(command, first.environment | changes, first.folder, first.log)
        plant = Plant(service, parts, place, hold, worker, client)
        plant.start_worker()
        try:
            yield plant
        finally:
            kill(*family(worker.pid))
            until(lambda: not alive(worker.pid), AT_ONCE_S, "the worker ends")
            worker.reap()


@pytest.fixture(autouse=True)
def ready(plant: Plant) -> Iterator[None]:
    """Every test finds a worker that waits for work, and leaves no run behind."""
    yield
    plant.release()
    for run in plant.unended():
        body = {"state": {"type": "CRASHED", "message": "left by a test"}, "force": True}
        plant.client.request("POST", f"/flow_runs/{run['id']}/set_state", json=body)
    if alive(plant.worker.pid):
        kill(*family(plant.worker.pid)[1:])
    else:
        plant.worker.reap()
        plant.start_worker()
