"""Jobs that a real worker runs for a real server on a real Postgres."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from logging import WARNING
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    LogFilter,
    LogFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort

from flows.deploy.deployments import read_deployments
from flows.limits import TIMING
from flows.submit import find_deployment
from tasks.caching import LIMIT_TAG
from tests.operations.conftest import ROOT, Service, job_document

pytestmark = pytest.mark.slow
Done = subprocess.CompletedProcess[str]


def artifact(service: Service, key: str) -> dict[str, Any]:
    with service.client() as client:
        found = client.request("GET", "/artifacts/{key}/latest", path_params={"key": key})
    document = found.json()
    assert isinstance(document, dict)
    return document


def test_a_submitted_job_runs_on_the_worker(service: Service, first_submit: Done) -> None:
    assert first_submit.returncode == 0, first_submit.stderr + first_submit.stdout
    assert re.fullmatch(r"small: passed, \d+ gates\n", first_submit.stdout)
    stages = [line.split()[0] for line in first_submit.stderr.splitlines()]
    assert {"calibrate", "convert", "export", "surgery", "engine", "profile"} <= set(stages)
    assert list((service.state / "artifacts").rglob("openvino.plan"))


def test_of_a_build_s_stages_only_what_is_timed_holds_the_limit_of_timing(
    service: Service, first_submit: Done
) -> None:
    assert first_submit.returncode == 0
    holders = TaskRunFilter(tags=TaskRunFilterTags(all_=[f"{LIMIT_TAG}{TIMING}"]))
    with service.client() as client:
        runs = client.read_task_runs(
            task_run_filter=holders, sort=TaskRunSort.EXPECTED_START_TIME_DESC, limit=200
        )
    assert {run.name for run in runs} == {"profile"}


def test_its_report_and_progress_are_on_the_server(service: Service, first_submit: Done) -> None:
    assert first_submit.returncode == 0
    assert "## Gates" in artifact(service, "report-small")["data"]
    progress = artifact(service, "progress-small")
    assert progress["data"] == 100.0
    assert progress["description"].startswith("small: done")


def test_each_stage_is_one_line_of_its_log(service: Service, first_submit: Done) -> None:
    assert first_submit.returncode == 0
    with service.client() as client:
        build = FlowRunFilterDeploymentId(any_=[find_deployment(client, "build/build").id])
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(deployment_id=build),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=50,
        )
        of_builds = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id for run in runs]))
        lines = client.read_logs(of_builds, limit=200, offset=0)
    assert any(line.message.startswith("calibrate ") for line in lines)
    assert not [x.message for x in lines if x.name == "prefect.task_runs" and x.level < WARNING]


def test_its_page_is_served_where_the_server_s_link_leads(
    service: Service, first_submit: Done
) -> None:
    assert first_submit.returncode == 0
    page = f"{service.reports}/small/report.html"
    assert f"({page})" in artifact(service, "report-small")["data"]
    with urllib.request.urlopen(page, timeout=10) as found:
        assert b"<title>" in found.read()
    assert answer(page, "POST")[0] == 501


@pytest.mark.thorough
def test_two_runs_are_compared_from_the_server(service: Service, first_submit: Done) -> None:
    assert first_submit.returncode == 0
    other = service.enginesmith("submit", "small", "--set", "calibration.images=48")
    assert other.returncode == 0, other.stdout
    run = service.trigger("compare", {"left": "small@1", "right": "small"})
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    compared = artifact(service, "compare-small-1-small")["data"]
    assert "calibration.images" in compared
    nobody = service.trigger("compare", {"left": "small", "right": "smal"})
    assert nobody.state is not None
    assert (nobody.state.name, nobody.state.type.value) == ("Bad input", "FAILED")
    assert "did you mean small?" in (nobody.state.message or "")


def test_the_same_again_is_all_cached(service: Service, first_submit: Done) -> None:
    assert first_submit.returncode == 0
    again = service.enginesmith("submit", "small", "--json")
    assert json.loads(again.stdout)["state"] == "Completed"
    lines = [line for line in again.stderr.splitlines() if line.startswith(("calibrate", "engine"))]
    assert len(lines) == 3
    assert all(line.endswith("cached") for line in lines)


def test_a_failed_gate_is_exit_1_and_a_state_of_its_own(
    service: Service, first_submit: Done
) -> None:
    assert first_submit.returncode == 0
    run = service.enginesmith("submit", "small", "--set", "accuracy.min_top1=0.9999", "--json")
    said = json.loads(run.stdout)
    assert run.returncode == 1
    assert said["state"] == "Gates failed"
    assert "0.9999" in said["message"]


def test_a_job_file_is_sent_along(service: Service, first_submit: Done, tmp_path: Path) -> None:
    assert first_submit.returncode == 0
    file = tmp_path / "sent.yaml"
    file.write_text(yaml.safe_dump(job_document(name="sent")))
    run = service.enginesmith("submit", str(file))
    assert run.returncode == 0
    assert run.stdout.startswith("sent: passed, ")


def test_an_unknown_job_is_one_line_with_the_nearest_name(service: Service) -> None:
    run = service.enginesmith("submit", "smal")
    assert run.returncode == 2
    assert run.stdout.count("\n") == 1
    assert "did you mean small?" in run.stdout


@pytest.mark.thorough
def test_deploying_again_changes_nothing_and_drift_is_mended(service: Service) -> None:
    assert service.enginesmith("deploy", "--check").returncode == 0
    with service.client() as client:
        client.upsert_global_concurrency_limit_by_name("timing", 5)
        client.update_global_concurrency_limit("gpu", GlobalConcurrencyLimitUpdate(active=False))
        for automation in client.read_automations_by_name("crash-silent-runs"):
            client.delete_automation(automation.id)
    check = service.enginesmith("deploy", "--check")
    assert check.returncode == 1
    assert "limit timing: DIFFERS (limit)" in check.stdout
    assert "limit gpu: DIFFERS (active)" in check.stdout
    assert "automation crash-silent-runs: MISSING" in check.stdout
    mended = service.enginesmith("deploy", "--json")
    statuses = {piece["piece"]: piece["status"] for piece in json.loads(mended.stdout)}
    assert statuses["limit timing"] == "changed"
    assert statuses["automation crash-silent-runs"] == "made"
    assert statuses["deployment build/build"] == "kept"
    assert service.enginesmith("deploy", "--check").returncode == 0


def test_the_server_plans_the_night_for_its_hour_in_its_time_zone(service: Service) -> None:
    (wanted,) = [x for x in read_deployments(ROOT / "prefect.yaml") if x.name == "nightly"]
    (schedule,) = wanted.schedules
    minute, hour = (int(field) for field in schedule.cron.split()[:2])
    planned: list[FlowRun] = []
    deadline = time.monotonic() + 120
    with service.client() as client:
        nightly = FlowRunFilterDeploymentId(any_=[find_deployment(client, "nightly").id])
        while not planned and time.monotonic() < deadline:
            time.sleep(0.5)
            of_nightly = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(deployment_id=nightly),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=50,
            )
            planned = [run for run in of_nightly if run.auto_scheduled]
    assert planned, "the server plans nothing"
    for run in planned:
        assert run.expected_start_time is not None
        there = run.expected_start_time.astimezone(ZoneInfo(schedule.timezone))
        assert (there.hour, there.minute) == (hour, minute)


def answer(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str]]:
    data = b"{}" if method == "POST" else None
    headers |= {"Content-Type": "application/json"}
    request = urllib.request.Request(url, method=method, headers=headers, data=data)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def test_the_server_is_closed_to_strangers_and_other_sites(service: Service) -> None:
    import base64

    token = "Basic " + base64.b64encode(service.auth.encode()).decode()
    api = f"{service.url}/api"
    assert answer(f"{api}/health")[0] == 200
    assert answer(f"{api}/admin/version")[0] == 401
    assert answer(f"{api}/admin/version", Authorization=token)[0] == 200
    # Without a CSRF token, credentials alone change nothing.
    assert answer(f"{api}/flows/", "POST", Authorization=token)[0] == 403
    _, headers = answer(f"{api}/health", Origin="http://elsewhere.example")
    assert "access-control-allow-origin" not in {name.lower() for name in headers}


def test_the_server_listens_on_loopback_and_calls_nobody(service: Service) -> None:
    from scripts.compose_services import services

    given = {"ENGINESMITH_PASSWORD": "x", "ENGINESMITH_DATABASE_PASSWORD": "y"}
    compose = services("docker-compose.yml", variables=given)
    assert all(port.startswith("127.0.0.1:") for port in compose["server"].definition["ports"])
    with service.client() as client:
        settings = client.request("GET", "/admin/settings").json()["server"]
    assert settings["analytics_enabled"] is False
    assert settings["ui"]["v2_enabled"] is False
    assert settings["ui"]["show_promotional_content"] is False
    assert settings["concurrency"]["lease_storage"].endswith("filesystem")
    assert settings["database"]["driver"] == "postgresql+asyncpg"
    assert ROOT.is_dir()
