"""Two workers of one pool that share nothing but a store in a bucket."""

import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.client.schemas.objects import FlowRun, WorkerStatus

from flows.deploy.deployments import STAY
from flows.deploy.pool import template
from flows.store_upkeep import verify_store
from flows.submit import find_deployment, follow, start
from tasks.artifacts.store import Store
from tasks.history.records import read_history
from tests.artifacts.conftest import s3_server  # noqa: F401
from tests.operations.conftest import BIN, Service, clean_environment, job_document

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
POOL = "two-workers"
START_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def worker(service: Service, folder: Path, variables: dict[str, str]) -> Iterator[None]:
    """A worker as on a machine of its own: what it fetches of the store lies in its own folder."""
    folder.mkdir()
    environment = clean_environment() | variables
    environment |= {
        "PREFECT_API_URL": f"{service.url}/api",
        "PREFECT_API_AUTH_STRING": service.auth,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_WEBSERVER_PORT": str(free_port()),
        "ENGINESMITH_JOBS": str(service.jobs),
        "ENGINESMITH_STORE_COPIES": str(folder / "copies"),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    with (folder / "log").open("wb") as log:
        # As in the background of a script: interrupts are ignored. It ends when it is told to.
        command = f"trap '' INT; exec {BIN}/enginesmith worker --pool {POOL} --at-once 1"
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def two_workers(
    service: Service,
    s3_server: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """Gives the store that both work in."""
    variables = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENGINESMITH_STORE_COPIES", str(tmp_path / "third"))
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    store = f"s3://{bucket}/store"
    with service.client() as client:
        client.create_work_pool(
            WorkPoolCreate(name=POOL, type="process", base_job_template=template("process"))
        )
        client.create_deployment(
            client.create_flow_from_name("build"),
            POOL,
            entrypoint="flows.deployed.build",
            work_pool_name=POOL,
            pull_steps=STAY,
        )
    variables["ENGINESMITH_ARTIFACTS"] = store
    with ExitStack() as stack:
        for name in ("a", "b"):
            stack.enter_context(worker(service, tmp_path / name, variables))
        yield store
    with service.client() as client:
        gone = find_deployment(client, f"build/{POOL}").id
        client.request("DELETE", "/deployments/{id}", path_params={"id": gone})
        client.request("DELETE", "/work_pools/{name}", path_params={"name": POOL})


def wait_for_two(client: SyncPrefectClient) -> None:
    online = WorkerFilter(status=WorkerFilterStatus(any_=[WorkerStatus.ONLINE]))
    deadline = time.monotonic() + START_S
    while len(client.read_workers_for_work_pool(POOL, online, offset=0, limit=9)) < 2:
        assert time.monotonic() < deadline, "the workers did not start"
        time.sleep(0.5)


def both(client: SyncPrefectClient, said: dict[str, list[str]]) -> list[FlowRun]:
    """Start the two jobs at once, and wait for both."""
    deployment = find_deployment(client, f"build/{POOL}")
    runs = {name: start(client, deployment, {"name": name}) for name in ("left", "right")}
    return [follow(client, run.id, said.setdefault(name, []).append) for name, run in runs.items()]


def test_two_workers_build_at_once_in_one_bucket_and_find_what_either_made(
    service: Service, two_workers: str
) -> None:
    for name, images in (("left", 64), ("right", 48)):
        document = job_document(name=name, calibration={"images": images}, publish={})
        (service.jobs / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    said: dict[str, list[str]] = {}
    with service.client() as client:
        wait_for_two(client)
        first = both(client, said)
        assert [run.state_name for run in first] == ["Completed"] * 2, said
        # Each worker takes one run at a time: both ran, so both took one.
        (one, other) = first
        assert one.start_time is not None
        assert other.start_time is not None
        assert one.end_time is not None
        assert other.end_time is not None
        assert one.start_time < other.end_time
        assert other.start_time < one.end_time
        said.clear()
        again = both(client, said)
    assert [run.state_name for run in again] == ["Completed"] * 2, said
    for name in ("left", "right"):
        made = [
            x for x in said[name] if x.startswith(("calibrate", "convert", "engine", "surgery"))
        ]
        assert len(made) == 5, said[name]
        assert all(line.endswith("cached") for line in made), said[name]
    store = Store(two_workers)
    assert verify_store(store).findings == ()
    for name in ("left", "right"):
        assert [x.sequence for x in read_history(store, name).builds] == [1, 2]
        assert json.loads(store.backend.read(f"published/{name}/latest.json"))
