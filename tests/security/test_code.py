"""Whose code runs: that of the jobs folder and of installed packages, and nobody else's."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.jobs_folder import JOBS_VARIABLE, given_job, named_job, trust
from schemas.errors import InputError
from schemas.job import Job
from tasks.models.factory import resolve
from tasks.models.source import source_digest
from tests.operations.conftest import BIN, clean_environment, job_document

ROOT = Path(__file__).parents[2]
# Importing it leaves a file, so that a test sees whether it was run.
MODULE = """
from pathlib import Path
Path({trace!r}).touch()
from torch import nn
class Net(nn.Module): pass
"""


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.startswith("sent_along")]:
        monkeypatch.delitem(sys.modules, name)


def job_in(folder: Path) -> tuple[Path, Path]:
    """A job file with its network beside it, and the file that importing the network leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    trace = folder / "ran"
    (folder / "sent_along.py").write_text(MODULE.format(trace=str(trace)))
    document = job_document(model={"factory": "sent_along:Net", "kwargs": {}})
    (folder / "small.yaml").write_text(yaml.safe_dump(document))
    return folder / "small.yaml", trace


@pytest.mark.parametrize("command", ["run", "train", "explain", "sweep"])
def test_code_beside_a_job_file_from_elsewhere_does_not_run(tmp_path: Path, command: str) -> None:
    job, trace = job_in(tmp_path / "sent")
    options = [] if command == "explain" else ["--artifacts", tmp_path / "artifacts"]
    done = subprocess.run(
        [BIN / "enginesmith", command, job, *options],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "there is no module sent_along" in done.stderr
    assert "the jobs folder, which ENGINESMITH_JOBS names" in done.stderr
    assert not trace.exists()


def test_it_runs_where_the_folder_is_the_trusted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, trace = job_in(tmp_path / "jobs" / "team")
    trust(job)
    with pytest.raises(InputError, match="there is no module"):
        source_digest("sent_along:Net")
    monkeypatch.setenv(JOBS_VARIABLE, str(tmp_path / "jobs"))
    trust(job)
    assert not trace.exists(), "it is looked at, and not run, before a stage needs it"
    assert resolve("sent_along:Net").__name__ == "Net"
    assert trace.exists()


def test_a_link_in_the_jobs_folder_does_not_make_another_folder_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_in(tmp_path / "sent")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "team").symlink_to(tmp_path / "sent")
    monkeypatch.setenv(JOBS_VARIABLE, str(tmp_path / "jobs"))
    trust(tmp_path / "jobs" / "team" / "small.yaml")
    with pytest.raises(InputError, match="there is no module"):
        resolve("sent_along:Net")


def test_a_worker_takes_names_and_code_from_its_jobs_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trace = job_in(tmp_path / "sent")
    (tmp_path / "jobs").mkdir()
    monkeypatch.setenv(JOBS_VARIABLE, str(tmp_path / "jobs"))
    monkeypatch.chdir(tmp_path / "sent")
    for name in ("../sent/small", str(tmp_path / "sent" / "small"), "small"):
        with pytest.raises(InputError, match="there is no job"):
            named_job(name)
    given_job(Job.model_validate(job_document(model={"factory": "sent_along:Net", "kwargs": {}})))
    with pytest.raises(InputError, match="there is no module"):
        resolve("sent_along:Net")
    assert not trace.exists()


def test_code_of_the_jobs_folder_takes_the_place_of_nothing_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "yaml", "json", "tasks"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "small.yaml").write_text("name: small")
    monkeypatch.setenv(JOBS_VARIABLE, str(tmp_path))
    trust(tmp_path / "small.yaml")
    program = f"import sys; sys.path.append({str(tmp_path)!r}); import torch, yaml, json, tasks"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    assert sys.path[-1] == str(tmp_path)


def test_a_factory_is_a_program_and_docs_say_so() -> None:
    """Not a wall: whoever names a factory may run anything that is installed."""
    assert resolve("os:mkdir")
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    assert "A job file is a program" in " ".join(page.split())
