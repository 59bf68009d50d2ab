"""What is found wrong only while a job runs ends it in one line, and nothing is delivered."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.logging.configuration import setup_logging
from prefect.settings import PREFECT_API_URL

from flows.server import OWN_SERVER
from tests.corpus.case import Case, put, run_here
from tests.corpus.messages import fix_of
from tests.corpus.table import RUNS


@pytest.fixture(autouse=True)
def _in_a_folder(
    prefect_server: None,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    environment, path = dict(os.environ), list(sys.path)
    os.environ["PREFECT_API_URL"] = PREFECT_API_URL.value() or ""
    os.environ[OWN_SERVER] = "1"
    monkeypatch.chdir(tmp_path)
    setup_logging()
    for name in ("task_runs", "flow_runs"):
        # As flows/environment.py has it for a command, which imports Prefect only then.
        monkeypatch.setattr(logging.getLogger(f"prefect.{name}"), "disabled", True)
    yield
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    logging.getLogger("enginesmith").handlers.clear()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", RUNS, ids=lambda case: case.name)
def test_a_run_ends_in_one_line_and_delivers_nothing(
    case: Case,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(case, tmp_path)
    ended = run_here(case.command or "run job.yaml --artifacts store", capfd, monkeypatch)
    assert ended.status == 2, ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    said = [line for line in ended.err.splitlines() if line.startswith("enginesmith: ")]
    assert said == ended.err.splitlines()[-1:], ended.err
    assert re.search(case.says, said[0]), said[0]
    assert fix_of(said[0].removeprefix("enginesmith: "))
    assert not (tmp_path / "store/runs").exists()
    assert list((tmp_path / "store/tmp").iterdir()) == []
