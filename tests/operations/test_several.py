"""Jobs that share a process of the pool: each has a run of its own, and none takes another down."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.sorting import FlowRunSort

from flows.deploy.automations import SILENCE_S
from flows.pool import MOST_PER_RUN, RUNS_PER_PLACE, on_the_pool, per_run
from tests.operations.conftest import Service, job_document

# Killed the way the kernel kills what takes too much memory: nothing is said, nothing cleaned up.
DIES = "import os, signal\ndef net(**_):\n    os.kill(os.getpid(), signal.SIGKILL)\n"


@pytest.mark.parametrize(
    ("jobs", "places", "at_a_time"),
    [(33, 1, 9), (33, 16, 1), (500, 4, 32), (500, 1, 100), (1000, 8, 32), (9999, 8, 100)],
)
def test_many_jobs_share_processes_of_which_each_place_takes_a_few(
    jobs: int, places: int, at_a_time: int
) -> None:
    assert per_run(jobs, places) == at_a_time
    assert jobs / at_a_time <= RUNS_PER_PLACE * places or at_a_time == MOST_PER_RUN


@pytest.fixture
def three_jobs(service: Service) -> Iterator[list[str]]:
    """A good job, one whose process dies in the middle of it, and another good one."""
    documents = {
        "before": job_document(name="before"),
        "dies": job_document(name="dies", model={"factory": "dies_at_once:net", "kwargs": {}}),
        "after": job_document(name="after"),
    }
    files = [service.jobs / "dies_at_once.py"]
    files[0].write_text(DIES)
    for name, document in documents.items():
        files.append(service.jobs / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(document))
    yield list(documents)
    for file in files:
        file.unlink()


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_where_the_process_dies_each_unfinished_job_is_built_by_itself(
    service: Service,
    first_submit: object,  # noqa: ARG001
    three_jobs: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENGINESMITH_ARTIFACTS", str(Path(service.state) / "artifacts"))
    with service.client() as client:
        ended = on_the_pool(three_jobs, at_a_time=3)
        runs = {name: client.read_flow_run(run) for name, (run, _) in ended.items() if run}
        died = FlowRunFilter(name=FlowRunFilterName(any_=["build-dies"]))
        # Of the first of them nobody is left to tell that it lives: the server sees that.
        until = time.monotonic() + SILENCE_S + 60
        while time.monotonic() < until:
            found = client.read_flow_runs(flow_run_filter=died, sort=FlowRunSort.ID_DESC, limit=9)
            states = [run.state_name for run in found]
            if "Running" not in states:
                break
            time.sleep(2)
    assert states == ["Crashed", "Crashed"]
    assert list(ended) == three_jobs
    assert ended["before"][1].is_completed()
    assert ended["after"][1].is_completed()
    assert ended["dies"][1].is_crashed()
    # The first ended in the shared process, and was not built again.
    assert runs["before"].parent_task_run_id is not None
    assert runs["before"].deployment_id is None
    assert runs["after"].deployment_id is not None
