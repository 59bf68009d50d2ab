"""Where something is missing, set-up says so in one line, with what to type."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = (
    "awk",
    "bash",
    "cat",
    "cut",
    "df",
    "dirname",
    "env",
    "grep",
    "head",
    "id",
    "sed",
    "sha256sum",
)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with what a bare system has: no Python, no apt-get."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return folder


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def bootstrap(tools: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script on a throw-away environment folder."""
    environment = {"PATH": str(tools), "VENV": str(tools.parent / "venv"), **variables}
    return subprocess.run(
        [ROOT / "scripts" / "bootstrap-venv", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_no_python_at_all(tools: Path) -> None:
    run = bootstrap(tools)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "no python3 found: install Python 3.11 to 3.14" in run.stderr


def test_a_python_that_is_too_old(tools: Path) -> None:
    script(tools / "python3", 'case $1 in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac')
    run = bootstrap(tools)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "python3 here is Python 3.9.2: Python 3.11 to 3.14 is needed" in run.stderr


def test_a_newer_python_beside_an_old_python3_is_found(tools: Path) -> None:
    script(tools / "python3", "exit 1")
    script(
        tools / "python3.11",
        f"""[[ $2 == *ensurepip* ]] && exit 1\nexec {sys.executable} "$@" """,
    )
    run = bootstrap(tools)
    assert "python3.11 has no venv or ensurepip module" in run.stderr


def test_a_named_python_that_is_not_there(tools: Path) -> None:
    run = bootstrap(tools, PYTHON="/nowhere/python3.12")
    assert run.returncode == 2
    assert "PYTHON=/nowhere/python3.12 is not a command" in run.stderr


def test_debian_python_without_ensurepip_names_the_package(tools: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    script(tools / "python3", f"""[[ $2 == *ensurepip* ]] && exit 1\nexec {sys.executable} "$@" """)
    run = bootstrap(tools)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert f"sudo apt-get install python{version}-venv" in run.stderr
    assert not (tools.parent / "venv").exists()


def test_a_full_disk_is_noticed_before_anything_is_made(tools: Path) -> None:
    (tools / "df").unlink()
    script(tools / "df", 'echo head; echo "disk 1 1 512 1 /"')
    (tools / "python3").symlink_to(sys.executable)
    run = bootstrap(tools)
    assert run.returncode == 2
    assert "only 512 MiB free" in run.stderr
    assert not (tools.parent / "venv").exists()


def test_an_environment_that_is_right_is_left_alone(tools: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    for stamp, source in {"run": "requirements.lock", "project": "pyproject.toml"}.items():
        content = f"{ROOT}\n".encode() + (ROOT / source).read_bytes()
        (venv / f".stamp-{stamp}").write_text(hashlib.sha256(content).hexdigest() + "\n")
    before = sorted(venv.rglob("*"))
    run = bootstrap(tools)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert sorted(venv.rglob("*")) == before


def make(*arguments: str) -> str:
    """What make prints for arguments that run nothing."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "-s", "-C", ROOT, *arguments],
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_make_without_a_target_lists_the_targets() -> None:
    assert make() == make("help")
    assert "make demo " in make("help")
    assert "make test " in make("help")


def test_make_test_checks_everything() -> None:
    commands = make("-n", "test")
    for tool in (
        "ruff check .",
        "ruff format --check .",
        "bin/mypy",
        "bin/lint-imports",
        "-m pytest",
    ):
        assert tool in commands
    assert "enginesmith run jobs/quickstart.yaml" in make("-n", "demo")


def test_nothing_that_make_starts_reports_home() -> None:
    environment = make("--eval", "show: ; @env", "show").splitlines()
    assert "PREFECT_SERVER_ANALYTICS_ENABLED=false" in environment
    assert "DO_NOT_TRACK=1" in environment
