"""The image, built for real by scripts/container-build from a cut-down lock.

The Dockerfile, the scripts and the context are the real ones. Only the lock is cut to the command
line's own packages, which takes seconds where the whole of it takes minutes (`make container`).
The base stands in for NVIDIA's: it brings a Python package named tensorrt and an older PyYAML.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = "localhost/enginesmith-test-base"
TAG = "localhost/enginesmith-test"
ON_BASE = """
FROM localhost/base:bookworm
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-yaml \\
    && site=$(python3 -c 'import site; print(site.getsitepackages()[0])') \\
    && mkdir -p "$site/tensorrt" && echo '__version__ = "of the base"' >"$site/tensorrt/__init__.py"
"""
# What `enginesmith schema` imports, and what an editable install needs.
PACKAGES = [
    "annotated-doc",
    "annotated-types",
    "click",
    "editables",
    "hatchling",
    "markdown-it-py",
    "mdurl",
    "packaging",
    "pathspec",
    "pluggy",
    "pydantic",
    "pydantic-core",
    "pygments",
    "pyyaml",
    "rich",
    "setuptools",
    "shellingham",
    "trove-classifiers",
    "typer",
    "typing-extensions",
    "typing-inspection",
]

pytestmark = [
    pytest.mark.container,
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("buildah") is None or shutil.which("podman") is None,
        reason="buildah and podman are not installed: apt-get install buildah podman",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="building without a daemon needs root"),
]


def sh(command: str, folder: Path, **variables: str) -> str:
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout + run.stderr


def in_image(command: str, folder: Path, options: str = "") -> str:
    run = (
        "source scripts/container-storage; podman run --rm --network host --read-only --tmpfs /tmp "
        f"--cap-drop ALL {options} {TAG} {command}"
    )
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", run],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the image is made of, with the cut-down lock."""
    folder = tmp_path_factory.mktemp("context")
    names = ("Dockerfile", ".dockerignore", "pyproject.toml", "prefect.yaml", "README.md")
    names += ("requirements-gpu.lock",)
    for name in names:
        shutil.copy(ROOT / name, folder / name)
    for name in ("schemas", "tasks", "flows", "scripts", "jobs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    lock = (ROOT / "requirements.lock").read_text()
    blocks = [
        block
        for package in PACKAGES
        for block in re.findall(rf"^{package}==.*\n(?:    --hash=.*\n)+", lock, re.M)
    ]
    assert len(blocks) >= len(PACKAGES)
    (folder / "requirements.lock").write_text("".join(blocks))
    return folder


@pytest.fixture(scope="module")
def build_log(context: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the build said; the image stays, so that the next run finds its layers."""
    base = tmp_path_factory.mktemp("base")
    (base / "Dockerfile").write_text(ON_BASE)
    sh("scripts/container-base bookworm", context)
    sh(
        "source scripts/container-storage; buildah bud --isolation chroot --network host "
        f"--format docker --layers --tag {BASE} {base}",
        context,
    )
    return sh("scripts/container-build", context, BASE_IMAGE=BASE, TAG=TAG)


def test_a_base_without_cuda_is_told_in_one_line(build_log: str) -> None:
    assert "No nvcc in this base: pycuda is left out" in build_log


@pytest.mark.usefixtures("build_log")
def test_the_base_s_own_tensorrt_is_usable_and_pins_come_before_the_base(context: Path) -> None:
    program = (
        "import json, tensorrt as t, yaml as y; "
        "print(json.dumps([t.__version__, t.__file__, y.__version__, y.__file__]))"
    )
    version, file, yaml_version, yaml_file = json.loads(
        in_image(f"-c '{program}'", context, "--entrypoint python")
    )
    assert version == "of the base"
    assert not file.startswith("/opt/venv")
    pinned = re.search(r"^pyyaml==(\S+)", (context / "requirements.lock").read_text(), re.M)
    assert pinned
    assert yaml_version == pinned[1]
    assert yaml_file.startswith("/opt/venv/")
    base_version = in_image(
        "-c 'import yaml; print(yaml.__version__)'", context, "--entrypoint /usr/bin/python3"
    )
    assert base_version.strip() != yaml_version


@pytest.mark.usefixtures("build_log")
def test_it_runs_as_nobody_on_a_read_only_root_and_writes_to_the_volume(context: Path) -> None:
    script = "id -u; touch /artifacts/x && echo volume; touch x 2>/dev/null || echo closed"
    out = in_image(f"-c '{script}'", context, "--entrypoint bash")
    assert out.split() == ["10001", "volume", "closed"]


@pytest.mark.usefixtures("build_log")
def test_the_entry_point_is_the_command_line(context: Path) -> None:
    from schemas.job import Job

    assert json.loads(in_image("schema", context)) == Job.model_json_schema()


@pytest.mark.usefixtures("build_log")
def test_no_configuration_of_this_machine_is_left_in_the_image(context: Path) -> None:
    assert (
        in_image("-c 'cat /etc/pip.conf 2>/dev/null; env'", context, "--entrypoint bash").find(
            "PIP_"
        )
        < 0
    )
    history = sh(f"source scripts/container-storage; podman history --no-trunc {TAG}", context)
    assert "index-url" not in history
