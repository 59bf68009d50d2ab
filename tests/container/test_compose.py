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
    environment = {k: v for k, v in os.environ.items() if k != "BASE_IMAGE"} | variables
    run = subprocess.run(
        [
            Path(sys.executable).parent / "podman-compose",
            *(word for file in files for word in ("--file", str(ROOT / file))),
            "config",
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    document = yaml.safe_load(run.stdout)
    assert isinstance(document, dict)
    return document


def base_of(service: dict[str, Any]) -> str:
    """The base that is built on: where two files give one, the later holds."""
    return [arg for arg in service["build"]["args"] if arg.startswith("BASE_IMAGE=")][-1]


@pytest.mark.parametrize("files", [GPU, CPU])
def test_build_is_a_one_shot_that_takes_a_job(files: tuple[str, ...]) -> None:
    services = resolved(files)["services"]
    assert list(services) == ["build"]
    service = services["build"]
    assert service["entrypoint"] == ["enginesmith", "run"]
    assert (ROOT / service["command"][0]).is_file()
    assert service["init"] is True
    assert "restart" not in service
    assert "profiles" not in service
    assert "ports" not in service


@pytest.mark.parametrize("files", [GPU, CPU])
def test_artifacts_lie_in_a_named_volume_where_the_image_writes(files: tuple[str, ...]) -> None:
    document = resolved(files)
    assert document["volumes"] == {"artifacts": {"name": "enginesmith_artifacts"}}
    assert "artifacts:/artifacts" in document["services"]["build"]["volumes"]
    assert "ENGINESMITH_ARTIFACTS=/artifacts" in (ROOT / "Dockerfile").read_text()


def test_the_gpu_is_reserved() -> None:
    reservations = resolved(GPU)["services"]["build"]["deploy"]["resources"]["reservations"]
    assert reservations["devices"] == [
        {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    ]


def test_the_override_for_machines_without_a_gpu_reserves_none() -> None:
    service = resolved(CPU)["services"]["build"]
    assert not service.get("deploy")
    assert "nvcr.io" not in base_of(service)
    assert service["read_only"] is True
    assert service["image"] != resolved(GPU)["services"]["build"]["image"]


@pytest.mark.parametrize("files", [GPU, CPU])
def test_the_base_can_be_named(files: tuple[str, ...]) -> None:
    service = resolved(files, BASE_IMAGE="localhost/base:bookworm")["services"]["build"]
    assert base_of(service) == "BASE_IMAGE=localhost/base:bookworm"


def test_compose_and_dockerfile_agree_on_the_default_base() -> None:
    default = re.search(r"^ARG (BASE_IMAGE=\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    assert default
    assert base_of(resolved(GPU)["services"]["build"]) == default[1]
