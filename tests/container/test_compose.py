"""The compose files are valid, and say what docs/container.md promises."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GPU = ("docker-compose.yml",)
CPU = ("docker-compose.yml", "docker-compose.cpu.yml")
LASTING = ("database", "server", "worker", "reports")
SECRETS = {"ENGINESMITH_PASSWORD": "for-the-server", "ENGINESMITH_DATABASE_PASSWORD": "for-it"}


@pytest.fixture(autouse=True, scope="module")
def podman_by_name(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Resolving a compose file asks podman for nothing but its version: any machine can do it."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "podman").write_text("#!/bin/sh\necho podman version 4.3.1\n")
    (folder / "podman").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        yield


def resolved(files: tuple[str, ...], **variables: str) -> dict[str, Any]:
    """The compose files as compose merges and interpolates them."""
    run = compose(files, SECRETS | variables)
    assert run.returncode == 0, run.stderr
    document = yaml.safe_load(run.stdout)
    assert isinstance(document, dict)
    return document


def compose(
    files: tuple[str, ...], variables: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    given = ("BASE_IMAGE", "ENGINESMITH_", "POSTGRES_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(given)} | variables
    return subprocess.run(
        [
            Path(sys.executable).parent / "podman-compose",
            *(word for file in files for word in ("--file", str(ROOT / file))),
            *("--env-file", os.devnull, "--profile", "build", "config"),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def base_of(service: dict[str, Any]) -> str:
    """The base that is built on: where two files give one, the later holds."""
    return [arg for arg in service["build"]["args"] if arg.startswith("BASE_IMAGE=")][-1]


@pytest.mark.parametrize("files", [GPU, CPU])
def test_build_is_a_one_shot_that_takes_a_job(files: tuple[str, ...]) -> None:
    service = resolved(files)["services"]["build"]
    assert service["entrypoint"] == ["enginesmith", "run"]
    assert (ROOT / service["command"][0]).is_file()
    assert service["init"] is True
    assert "restart" not in service
    # Not started by `up`; `run` names it, which is enough.
    assert service["profiles"] == ["build"]
    assert "ports" not in service


@pytest.mark.parametrize("files", [GPU, CPU])
def test_artifacts_lie_in_a_named_volume_where_the_image_writes(files: tuple[str, ...]) -> None:
    document = resolved(files)
    assert document["volumes"]["artifacts"] == {"name": "enginesmith_artifacts"}
    for name in ("build", "worker"):
        assert "artifacts:/artifacts" in document["services"][name]["volumes"]
    assert "ENGINESMITH_ARTIFACTS=/artifacts" in (ROOT / "Dockerfile").read_text()


def test_the_gpu_is_reserved() -> None:
    for name in ("build", "worker"):
        service = resolved(GPU)["services"][name]
        reservations = service["deploy"]["resources"]["reservations"]
        assert reservations["devices"] == [
            {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
        ]


def test_the_override_for_machines_without_a_gpu_reserves_none() -> None:
    services, with_gpu = resolved(CPU)["services"], resolved(GPU)["services"]
    for name in ("build", "worker", "server", "deploy", "reports"):
        service = services[name]
        assert not service.get("deploy")
        assert "nvcr.io" not in base_of(service)
        assert service["read_only"] is True
        assert service["image"] != with_gpu[name]["image"]


@pytest.mark.parametrize("files", [GPU, CPU])
def test_the_base_can_be_named(files: tuple[str, ...]) -> None:
    service = resolved(files, BASE_IMAGE="localhost/base:bookworm")["services"]["build"]
    assert base_of(service) == "BASE_IMAGE=localhost/base:bookworm"


def test_compose_and_dockerfile_agree_on_the_default_base() -> None:
    default = re.search(r"^ARG (BASE_IMAGE=\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    assert default
    assert base_of(resolved(GPU)["services"]["build"]) == default[1]


@pytest.mark.parametrize("files", [GPU, CPU])
def test_what_lasts_is_watched_started_again_and_stopped_in_time(files: tuple[str, ...]) -> None:
    services = resolved(files)["services"]
    for name in LASTING:
        service = services[name]
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["restart"] == "unless-stopped"
        assert service["stop_grace_period"]
        assert service["init"] is True
    assert services["deploy"]["restart"].startswith("on-failure")


@pytest.mark.parametrize("files", [GPU, CPU])
def test_each_service_waits_for_what_it_needs(files: tuple[str, ...]) -> None:
    services = resolved(files)["services"]
    waits = {
        name: {on: how["condition"] for on, how in services[name]["depends_on"].items()}
        for name in ("server", "deploy", "worker", "reports")
    }
    assert waits == {
        "server": {"database": "service_healthy"},
        "deploy": {"server": "service_healthy"},
        "worker": {"server": "service_healthy", "deploy": "service_completed_successfully"},
        "reports": {"worker": "service_healthy"},
    }


@pytest.mark.parametrize("files", [GPU, CPU])
def test_only_server_and_reports_are_published_and_only_on_loopback(
    files: tuple[str, ...],
) -> None:
    services = resolved(files)["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {
        "server": ["127.0.0.1:4200:4200"],
        "reports": ["127.0.0.1:4201:4201"],
    }


@pytest.mark.parametrize("files", [GPU, CPU])
def test_what_serves_pages_can_change_nothing_and_runs_link_to_it(files: tuple[str, ...]) -> None:
    services = resolved(files, ENGINESMITH_REPORTS_PORT="4301")["services"]
    reports = services["reports"]
    assert reports["volumes"] == ["artifacts:/artifacts:ro"]
    assert reports["read_only"] is True
    assert "environment" not in reports
    assert set(reports["networks"]) == {"reports"}
    assert reports["ports"] == ["127.0.0.1:4301:4201"]
    for name in ("worker", "build"):
        url = services[name]["environment"]["ENGINESMITH_REPORTS_URL"]
        assert url == "http://127.0.0.1:4301"


def test_nobody_is_notified_unless_a_webhook_is_named() -> None:
    assert resolved(GPU)["services"]["deploy"]["environment"]["ENGINESMITH_NOTIFY_URL"] == ""


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_a_missing_secret_is_named_with_the_way_to_make_it(missing: str) -> None:
    run = compose(GPU, {key: value for key, value in SECRETS.items() if key != missing})
    assert run.returncode != 0
    assert missing in run.stderr
    assert "scripts/compose-secrets" in run.stderr


def test_no_secret_is_written_in_the_files() -> None:
    text = "".join((ROOT / file).read_text() for file in CPU)
    assert re.findall(r"\$\{ENGINESMITH_\w*PASSWORD(:.)", text)
    assert set(re.findall(r"\$\{ENGINESMITH_\w*PASSWORD(:.)", text)) == {":?"}


@pytest.mark.parametrize("files", [GPU, CPU])
def test_the_scripts_that_stand_for_compose_read_the_same(files: tuple[str, ...]) -> None:
    """scripts/operations-up reads the compose files by itself: with the same result."""
    from scripts.compose_services import services

    theirs = resolved(files)["services"]
    for name, service in services(*files, variables=SECRETS).items():
        assert service.environment == theirs[name].get("environment", {})
        assert service.definition.get("command") == theirs[name].get("command")
        assert service.definition.get("healthcheck") == theirs[name].get("healthcheck")
