"""Calls of TensorRT's API are type-checked, because TensorRT itself cannot be run here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtimes.mended_stubs import write_stubs

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tasks" / "runtimes" / "trt"

USE = """
import tensorrt
from tasks.runtimes.trt.module import TensorRtModule
module: TensorRtModule = tensorrt
"""
MISUSE = """
import tensorrt
from tasks.runtimes.trt.module import TensorRtModule
def f(trt: TensorRtModule, config: tensorrt.IBuilderConfig) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, "much")
    config.set_flag(trt.BuilderFlag.INT9)
    builder = trt.Builder(3)
"""


def check(stubs: Path, *arguments: str) -> list[str]:
    """mypy's complaints, strictly, about anything but the stubs themselves."""
    run = subprocess.run(
        [
            sys.executable,
            *("-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")),
            *("--cache-dir", str(stubs / "cache"), *arguments),
        ],
        env={**os.environ, "MYPYPATH": os.pathsep.join([str(stubs), str(ROOT)])},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    lines = [line for line in run.stdout.splitlines() if ": error:" in line]
    return [line for line in lines if "/tensorrt" not in line.split(":")[0]]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stubs(tmp_path_factory.mktemp("stubs"))


def test_the_tensorrt_path_fits_tensorrts_types(stubs: Path, tmp_path: Path) -> None:
    use = tmp_path / "use.py"
    use.write_text(USE)
    assert check(stubs, "-p", "tasks.runtimes.trt") == []
    assert check(stubs, str(use)) == []


def test_the_check_sees_wrong_calls(stubs: Path, tmp_path: Path) -> None:
    misuse = tmp_path / "misuse.py"
    misuse.write_text(MISUSE)
    lines = {int(line.split(":")[1]) for line in check(stubs, str(misuse))}
    assert lines == {5, 6, 7}


def test_nothing_is_ignored() -> None:
    for file in SOURCES.glob("*.py"):
        assert "type: ignore" not in file.read_text(), file.name


def test_version_differences_fit_on_one_page() -> None:
    """And live nowhere else: no other module asks which version or flavour it has."""
    assert len((SOURCES / "versions.py").read_text().splitlines()) < 80
    for file in SOURCES.glob("*.py"):
        if file.name != "versions.py":
            assert not re.search(r"hasattr\(trt|__version__ *[<>=]", file.read_text()), file.name
