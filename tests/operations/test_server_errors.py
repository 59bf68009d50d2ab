"""What is said where the server, the credentials, the pool or the name are not right."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from prefect.client.schemas.actions import WorkPoolCreate

from flows.jobs_folder import named_job
from flows.submit import check_pool, find_deployment
from schemas.errors import InputError
from tests.operations.conftest import BIN, ROOT, Service, clean_environment, job_document

SERVICES = {"ENGINESMITH_PASSWORD": "x", "ENGINESMITH_DATABASE_PASSWORD": "y"}


def test_no_server_named_and_none_that_answers_are_one_line_each() -> None:
    environment = clean_environment() | {"PREFECT_HOME": "/nonexistent"}
    for variables, said in (
        ({}, "no Prefect server is named: set PREFECT_API_URL"),
        ({"PREFECT_API_URL": "http://127.0.0.1:1/api"}, "no Prefect server answers at http://127"),
    ):
        run = subprocess.run(
            [BIN / "enginesmith", "submit", "quickstart"],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 2
        assert run.stderr.count("\n") == 1
        assert said in run.stderr


@pytest.mark.parametrize("command", [("run", "small.yaml"), ("nightly", "--jobs", ".")])
def test_runs_of_this_process_say_in_one_line_that_the_server_is_away(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(job_document()))
    run = subprocess.run(
        [BIN / "enginesmith", *command, "--artifacts", "artifacts", "--quiet"],
        env=clean_environment() | {"PREFECT_API_URL": "http://127.0.0.1:1/api"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "no Prefect server answers at http://127.0.0.1:1/api" in run.stderr


@pytest.mark.slow
def test_wrong_credentials_are_one_line(service: Service) -> None:
    run = service.enginesmith("deploy", "--check", PREFECT_API_AUTH_STRING="admin:wrong")
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "refuses these credentials: set PREFECT_API_AUTH_STRING" in run.stderr


@pytest.mark.slow
def test_a_worker_for_a_pool_that_is_not_there_does_not_start(
    service: Service, tmp_path: Path
) -> None:
    run = service.enginesmith("worker", "--pool", "nosuch", ENGINESMITH_ARTIFACTS=str(tmp_path))
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "no work pool nosuch: run `enginesmith deploy`" in run.stderr


@pytest.mark.slow
def test_a_name_that_two_deployments_have_asks_for_the_whole_name(service: Service) -> None:
    with service.client() as client:
        flow = client.create_flow_from_name("other")
        twin = client.create_deployment(flow, "build", work_pool_name="enginesmith")
        try:
            with pytest.raises(InputError, match=r"2 deployments are named build.*other/build"):
                find_deployment(client, "build")
            assert find_deployment(client, "build/build").name == "build"
        finally:
            client.request("DELETE", "/deployments/{id}", path_params={"id": twin})
        assert find_deployment(client, "build").name == "build"
        with pytest.raises(InputError, match=r"no deployment biuld \(known: build"):
            find_deployment(client, "biuld")


@pytest.mark.slow
def test_a_pool_that_is_gone_or_has_no_worker_is_said_before_anything_is_started(
    service: Service,
) -> None:
    with service.client() as client:
        client.create_work_pool(WorkPoolCreate(name="brief", type="process"))
        flow = client.create_flow_from_name("brief")
        made = client.create_deployment(flow, "brief", work_pool_name="brief")
        with pytest.raises(InputError, match="no worker is online in the work pool brief"):
            check_pool(client, find_deployment(client, "brief"))
        client.request("DELETE", "/work_pools/{name}", path_params={"name": "brief"})
        try:
            with pytest.raises(InputError, match="pool of deployment brief is gone: run `engine"):
                check_pool(client, find_deployment(client, "brief"))
        finally:
            client.request("DELETE", "/deployments/{id}", path_params={"id": made})


@pytest.mark.slow
def test_parameters_that_do_not_fit_the_form_are_one_line(service: Service) -> None:
    run = service.enginesmith("submit", "small", "--refresh", "nosuch")
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].count("refresh") >= 1
    assert "does not take these parameters" in run.stderr


def test_only_files_of_the_jobs_folder_have_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    for place in (jobs / "small.yaml", tmp_path / "outside.yaml"):
        place.write_text(yaml.safe_dump(job_document()))
    monkeypatch.setenv("ENGINESMITH_JOBS", str(jobs))
    assert named_job("small").name == "small"
    with pytest.raises(InputError, match=r"no job '\.\./outside'.*choose from small"):
        named_job("../outside")
    monkeypatch.setenv("ENGINESMITH_JOBS", str(tmp_path / "nosuch"))
    with pytest.raises(InputError, match="set ENGINESMITH_JOBS where the worker runs"):
        named_job("small")


@pytest.mark.parametrize("missing", sorted(SERVICES))
def test_the_service_does_not_start_without_its_secrets(missing: str, tmp_path: Path) -> None:
    given = {key: value for key, value in SERVICES.items() if key != missing}
    run = subprocess.run(
        [ROOT / "scripts" / "operations-up", "--state", str(tmp_path)],
        env=clean_environment() | given | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert f"{missing} is not set: set it or run scripts/compose-secrets once" in run.stderr
