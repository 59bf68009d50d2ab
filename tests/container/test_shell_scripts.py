"""The shell scripts parse, stop at the first error, and belong to no machine."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"])
SCRIPTS = [path for path in FILES if path.read_text().startswith("#!/usr/bin/env bash")]
SOURCED = [ROOT / "scripts" / "container-storage"]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_script_is_looked_at() -> None:
    assert {named(path) for path in SCRIPTS} >= {
        ".ci/run",
        "scripts/bootstrap-venv",
        "scripts/container-build",
        "scripts/container-quickstart",
        "scripts/fashion-mnist",
    }


@pytest.mark.parametrize("path", [*SCRIPTS, *SOURCED], ids=named)
def test_bash_can_parse_it(path: Path) -> None:
    run = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_it_stops_at_the_first_error_and_can_be_called(path: Path) -> None:
    assert re.search(r"^set -euo pipefail$", path.read_text(), re.M)
    assert path.stat().st_mode & 0o111


@pytest.mark.parametrize("path", [*SCRIPTS, *SOURCED], ids=named)
def test_it_names_no_address(path: Path) -> None:
    """Mirrors, indexes and registries are the machine's own matter."""
    assert not re.search(r"\w://|\bnvcr\.io\b|\bdocker\.io\b", path.read_text())


def test_ci_runs_the_tests_and_then_the_demo() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    tests = next(i for i, line in enumerate(lines) if line.endswith(" make test"))
    demo = next(i for i, line in enumerate(lines) if line.endswith(" make demo"))
    assert tests < demo
