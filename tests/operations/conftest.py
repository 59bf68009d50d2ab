"""The whole service, for real: Postgres, server, deploy and worker of docker-compose.yml."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.submit import find_deployment, follow, start
from tasks.datasets.fashion_mnist import DEBIAN_FOLDER
from tests.flows.conftest import small_job

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
UP = [sys.executable, str(ROOT / "scripts" / "operations-up")]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Five processes run for these tests: once for all of them, and beside no others."""
    for item in items:
        if "service" in getattr(item, "fixturenames", ()):
            item.add_marker("alone")


@dataclass
class Service:
    """A running service, and how to reach it."""

    state: Path
    jobs: Path
    url: str
    auth: str
    reports: str

    def enginesmith(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """The command line as a client of this server."""
        server = {"PREFECT_API_URL": f"{self.url}/api", "PREFECT_API_AUTH_STRING": self.auth}
        return subprocess.run(
            [BIN / "enginesmith", *arguments],
            env=clean_environment() | server | variables,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    @contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        """Prefect's own client; flows that run inside are of this server."""
        settings = {PREFECT_API_URL: f"{self.url}/api", PREFECT_API_AUTH_STRING: self.auth}
        with temporary_settings(settings), get_client(sync_client=True) as client:
            yield client

    def trigger(self, deployment: str, parameters: dict[str, Any]) -> FlowRun:
        """Start a deployment as a person in the UI does, and wait for its end."""
        with self.client() as client:
            run = start(client, find_deployment(client, deployment), parameters)
            return follow(client, run.id, print)


def clean_environment() -> dict[str, str]:
    """This machine's variables without those that say which server or artifacts to use."""
    ours = ("PREFECT_", "ENGINESMITH_")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}


def postgres_is_here() -> bool:
    return bool(shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    if not postgres_is_here():
        pytest.skip("there is no Postgres here: apt-get install postgresql")
    if not DEBIAN_FOLDER.is_dir():
        pytest.skip("dataset-fashion-mnist is not installed: make data")
    folder = tmp_path_factory.mktemp("service")
    state, jobs = folder / "state", folder / "jobs"
    jobs.mkdir()
    (jobs / "small.yaml").write_text(yaml.safe_dump(job_document()))
    password = secrets.token_hex(12)
    given = {
        "ENGINESMITH_PASSWORD": password,
        "ENGINESMITH_DATABASE_PASSWORD": secrets.token_hex(12),
    }
    up = [*UP, "--state", str(state), "--jobs", str(jobs)]
    started = subprocess.run(
        up, env=clean_environment() | given, capture_output=True, text=True, check=False
    )
    try:
        assert started.returncode == 0, started.stderr
        lines = (state / "client.env").read_text().splitlines()
        client = dict(line.split("=", 1) for line in lines)
        url = client["PREFECT_API_URL"].removesuffix("/api")
        yield Service(
            state,
            jobs,
            url,
            auth=client["PREFECT_API_AUTH_STRING"],
            reports=client["ENGINESMITH_REPORTS_URL"],
        )
    finally:
        subprocess.run([*up, "--down", "--volumes"], check=True)


@pytest.fixture(scope="session")
def first_submit(service: Service) -> "subprocess.CompletedProcess[str]":
    """The first run of the small job: everything is computed."""
    return service.enginesmith("submit", "small")


def job_document(**changes: Any) -> dict[str, Any]:
    """The small job as a file's content."""
    return small_job(**changes).model_dump(mode="json", exclude_unset=True)
