"""What the containers may do: as the files say, and as one that is really started finds it."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.container.test_compose import CPU, GPU, podman_by_name, resolved
from tests.container.test_dockerfile import arguments

__all__ = ["podman_by_name"]
ROOT = Path(__file__).parents[2]
PODMAN = shutil.which("podman")
"""The real one, found before the compose tests put another in its place."""
OURS = ("server", "deploy", "worker", "build", "reports")
IMAGES = ("localhost/enginesmith-test", "localhost/enginesmith:cpu", "localhost/enginesmith")
"""What tests/container and scripts/container-build leave behind."""


@pytest.mark.parametrize("files", [GPU, CPU])
@pytest.mark.parametrize("name", OURS)
def test_ours_run_without_rights_on_a_root_that_they_cannot_write(
    files: tuple[str, ...], name: str
) -> None:
    service = resolved(files)["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert "user" not in service, "the image's own, which is nobody's"
    assert int(arguments("USER")[-1].split(":")[0]) >= 10_000
    for volume in service.get("volumes", []):
        source, target, *options = volume.split(":")
        assert "docker.sock" not in source
        # What is of the host is read; what is written is a volume.
        assert options == ["ro"] or not source.startswith((".", "/")), volume
        assert target != "/"


@pytest.mark.parametrize("files", [GPU, CPU])
def test_the_database_gains_no_rights_and_only_the_server_reaches_it(
    files: tuple[str, ...],
) -> None:
    document = resolved(files)
    services = document["services"]
    assert services["database"]["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in services["database"]
    assert document["networks"]["database"]["internal"] is True
    on_it = {name for name, each in services.items() if "database" in each.get("networks", [])}
    assert on_it == {"database", "server"}


@pytest.mark.parametrize("files", [GPU, CPU])
def test_the_server_asks_for_a_password_and_tokens_and_calls_nobody(
    files: tuple[str, ...],
) -> None:
    services = resolved(files)["services"]
    settings = services["server"]["environment"]
    assert settings["PREFECT_SERVER_API_AUTH_STRING"] == "admin:for-the-server"
    assert settings["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"
    assert settings["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200"
    assert settings["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert settings["PREFECT_SERVER_UI_V2_ENABLED"] == "false"
    published = [port for each in services.values() for port in each.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def start(service: dict[str, Any], image: str, script: str) -> str:
    """Run a script in the image with the service's own restrictions."""
    options = [
        *(word for each in service["cap_drop"] for word in ("--cap-drop", each)),
        *(
            word
            for each in service["security_opt"]
            # Podman's spelling of the same.
            for word in ("--security-opt", each.removesuffix(":true"))
        ),
        *(word for each in service["tmpfs"] for word in ("--tmpfs", each)),
        *(["--read-only"] if service["read_only"] else []),
    ]
    command = [str(PODMAN), "run", "--rm", "--network", "host", *options]
    command += ["--entrypoint", "sh", image, "-c", script]
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", 'source scripts/container-storage; "$@"', "-", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def image() -> str:
    if PODMAN is None or os.geteuid() != 0:
        pytest.skip("needs podman and root: apt-get install podman")
    for name in IMAGES:
        found = ["bash", "-c", f"source scripts/container-storage; {PODMAN} image exists {name}"]
        if subprocess.run(found, cwd=ROOT, capture_output=True, check=False).returncode == 0:
            return name
    pytest.skip("there is no image yet: make container, or pytest tests/container first")


@pytest.mark.container
def test_a_container_that_is_started_has_none_of_these_rights(image: str) -> None:
    script = """
        grep -E '^(Uid|Gid|CapEff|CapPrm|CapBnd|NoNewPrivs):' /proc/self/status
        grep ' / ' /proc/mounts | grep -o ' ro,'
        touch /opt/enginesmith/x 2>&1 | grep -o 'Read-only file system'
        touch /tmp/x /artifacts/x && echo written
    """
    said = start(resolved(CPU)["services"]["worker"], image, script)
    status = dict(re.findall(r"^(\w+):\s+(.*)$", said, re.M))
    assert set(status["Uid"].split()) == {"10001"}
    assert set(status["Gid"].split()) == {"10001"}
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert int(status[name], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert " ro," in said
    assert "Read-only file system" in said
    assert said.rstrip().endswith("written")
