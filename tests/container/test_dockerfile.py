"""The Dockerfile builds on any base and runs as nobody in particular."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
# Instructions with their continuation lines, comments left out.
INSTRUCTIONS = re.findall(
    r"^([A-Z]+) ((?:.*\\\n)*.*)$", re.sub(r"^#.*\n", "", TEXT, flags=re.M), re.M
)


def arguments(name: str) -> list[str]:
    return [argument for instruction, argument in INSTRUCTIONS if instruction == name]


def test_hadolint_finds_nothing() -> None:
    run = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "--no-color", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "")


def test_the_base_is_an_argument_and_nvidias_image_by_default() -> None:
    assert INSTRUCTIONS[0][0] == "ARG"
    assert re.fullmatch(r"BASE_IMAGE=nvcr\.io/nvidia/tensorrt:\d\d\.\d\d-py3", INSTRUCTIONS[0][1])
    assert arguments("FROM") == ["${BASE_IMAGE}"]


def test_the_image_does_not_run_as_root() -> None:
    user, _, group = arguments("USER")[-1].partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_source_is_copied_after_the_packages_are_installed() -> None:
    order = [f"{name} {argument}" for name, argument in INSTRUCTIONS]
    installed = next(i for i, line in enumerate(order) if "-r requirements.lock" in line)
    for package in ("schemas", "tasks", "flows", "jobs"):
        copied = order.index(f"COPY {package} {package}")
        assert copied > installed, f"an edit in {package}/ would install every package anew"


def test_every_install_is_hashed_but_that_of_the_source_itself() -> None:
    installs = re.findall(r"pip install (?:[^&;]|\\\n)*", TEXT)
    assert len(installs) == 4
    for install in installs:
        assert "--require-hashes" in install or "--editable ." in install
        assert "--no-deps" in install
        assert "--no-cache-dir" in install


def test_the_image_holds_every_package_of_the_project() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]["packages"]
    assert packages
    for package in packages:
        assert f"{package} {package}" in arguments("COPY")


def test_all_that_is_copied_passes_the_ignore_file() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for argument in arguments("COPY"):
        *sources, _ = argument.split()
        assert set(sources) <= allowed
        for source in sources:
            assert (ROOT / source).exists(), source


def test_every_builder_understands_it() -> None:
    """Neither buildah's chroot isolation nor the classic builder has cache mounts or here-docs."""
    for argument in arguments("RUN"):
        assert "--mount" not in argument
        assert "<<" not in argument
    assert not TEXT.startswith("# syntax")


def test_nothing_reports_home_and_all_output_goes_to_the_volume() -> None:
    environment = dict(
        pair.split("=", 1)
        for argument in arguments("ENV")
        for pair in re.split(r"\s*\\?\s+", argument)
    )
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["DO_NOT_TRACK"] == "1"
    assert arguments("VOLUME") == ["/artifacts"]
    for variable in ("ENGINESMITH_ARTIFACTS", "PREFECT_HOME", "HOME"):
        assert Path(environment[variable]).is_relative_to("/artifacts")
