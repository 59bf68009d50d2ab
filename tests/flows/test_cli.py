"""The command line as a user meets it: exit status, one line of error, nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from flows.commands.summary import next_command
from schemas.base import Gate
from schemas.job import Job
from schemas.report import ReportResult
from tests.flows.conftest import CHECKPOINT, REPOSITORY, Workshop, small_job, write_job

QUICKSTART = REPOSITORY / "jobs" / "quickstart.yaml"


def enginesmith(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | environment,
        check=False,
    )


def job_file(folder: Path, **changes: Any) -> Path:
    return write_job(folder, small_job(**changes).model_dump(mode="json"))


def test_a_failed_gate_exits_1_and_the_report_says_which(warm: Workshop, tmp_path: Path) -> None:
    job = job_file(tmp_path, accuracy={"min_top1": 0.999})
    done = enginesmith("run", job, "--artifacts", warm.root, "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    failed = [gate["name"] for gate in report["gates"] if not gate["passed"]]
    assert failed == ["openvino int8: accuracy.min_top1"]
    assert "Traceback" not in done.stderr


def test_the_next_command_is_about_what_failed(
    first_run: tuple[Workshop, ReportResult], tmp_path: Path
) -> None:
    report = first_run[0].report(first_run[1])

    def following(name: str) -> list[str]:
        gates = (Gate(name=name, passed=not name, detail=""),)
        return next_command(report.model_copy(update={"gates": gates}), tmp_path, "store")

    assert following("") == ["inspect", f"{tmp_path}/openvino.plan"]
    assert following("openvino int8: accuracy.max_drop_points") == ["explain", str(tmp_path)]
    assert following("regression: openvino top-1")[:2] == ["history", "small"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"weights": "nowhere.safetensors"}}, "there is no checkpoint"),
        ({"model": {"factory": "no_such_package.nets:resnet"}}, "there is no module"),
        ({"engines": {"openvino": None}}, "asks for no engine"),
        ({"engines": {"tensorrt": {}}}, "engines.tensorrt: TensorRT is not installed"),
        ({"model": {"weights": None}}, "neither model.weights nor a train section"),
        (
            {"data": {"fashion_mnist": None, "image_folder": {"path": "nowhere"}}},
            "there is no folder or tar file",
        ),
        (
            {"data": {"fashion_mnist": None, "factory": {"factory": "no_such_package:split"}}},
            "there is no module",
        ),
    ],
)
def test_what_is_missing_is_found_before_anything_starts(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    done = enginesmith("run", job_file(tmp_path, **changes), "--artifacts", tmp_path / "artifacts")
    assert_refused(done, message)
    assert not (tmp_path / "artifacts").exists()


def test_a_machine_for_training_needs_no_engine(tmp_path: Path) -> None:
    # TensorRT is not installed either, and is not what is missing here.
    job = job_file(tmp_path, engines={"tensorrt": {}}, model={"weights": "nowhere.safetensors"})
    done = enginesmith("train", job, "--artifacts", tmp_path / "artifacts")
    assert_refused(done, "there is no checkpoint")


def test_an_artifact_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = enginesmith("run", QUICKSTART, "--artifacts", tmp_path / "file" / "artifacts")
    assert_refused(done, "cannot be written to")


def test_an_unknown_stage_to_refresh_is_named(tmp_path: Path) -> None:
    done = enginesmith(
        "run", QUICKSTART, "--artifacts", tmp_path / "artifacts", "--refresh", "sugery"
    )
    assert_refused(done, "there is no such stage")


@pytest.mark.thorough
def test_a_pickle_is_refused_and_its_code_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    torch.save({"weight": _Runs(f"touch {trace}")}, tmp_path / "evil.safetensors")
    job = job_file(tmp_path, model={"weights": str(tmp_path / "evil.safetensors")})
    done = enginesmith("run", job, "--artifacts", tmp_path / "artifacts")
    assert_refused(done, "is a pickle")
    assert not trace.exists()
    assert not list((tmp_path / "artifacts" / "objects").rglob("*.*"))


class _Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_the_schema_describes_the_job_file() -> None:
    done = enginesmith("schema")
    assert json.loads(done.stdout) == Job.model_json_schema()


def test_doctor_says_what_to_do_about_an_engine_that_is_not_here() -> None:
    done = enginesmith("doctor", "--json")
    engines = {row["engine"]: row for row in json.loads(done.stdout)["engines"]}
    assert engines["openvino"]["runs"] == "yes"
    if engines["tensorrt"]["builds"] == "no":
        assert "container" in engines["tensorrt"]["advice"]


def test_help_and_schema_import_no_framework() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from flows.cli import app; "
        "assert CliRunner().invoke(app, ['run', '--help']).exit_code == 0; "
        "print([m for m in ('torch', 'prefect', 'onnx', 'openvino') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_reports_home(tmp_path: Path) -> None:
    code = (
        "import os, sys; from flows.environment import configure; "
        "from tasks.artifacts.store import Store; configure(Store(sys.argv[1])); "
        "from prefect.settings import get_current_settings; "
        "print(get_current_settings().server.analytics_enabled, os.environ['DO_NOT_TRACK'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert done.stdout.split() == ["False", "1"]


def assert_refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    """Exit status 2, and the last line of stderr is the whole story."""
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_checkpoint_of_the_quickstart_is_small() -> None:
    assert CHECKPOINT.stat().st_size <= 2_000_000
