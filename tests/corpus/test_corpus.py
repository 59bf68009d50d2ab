"""Each case of the corpus: refused in one line, in time, with nothing left behind."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpus.case import Case, Ended, holdings, put, run_here
from tests.corpus.messages import fix_of
from tests.corpus.table import TABLE

ROOT = Path(__file__).parents[2]
CASES = [(case, case.command or command) for command, cases in TABLE.items() for case in cases]
ALONE = (
    "job-python-tag",
    "network-leaves",
    "onnx-cut",
    "plan-cut",
)
"""Also run as a process of their own, start-up and end included."""


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Commands change the environment and the path of imports, and log to this test's stderr."""
    import os

    environment, path = dict(os.environ), list(sys.path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENGINESMITH_JOBS", str(tmp_path))
    yield
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    logging.getLogger("enginesmith").handlers.clear()


def check(case: Case, ended: Ended) -> None:
    assert "Traceback" not in ended.err
    assert ended.status == case.status, ended.err or ended.out
    if not case.status:
        assert re.search(case.says, ended.out), ended.out
        return
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("enginesmith: ")
    assert re.search(case.says, lines[0]), lines[0]
    assert fix_of(lines[0].removeprefix("enginesmith: ")), lines[0]
    assert not lines[0].endswith("."), lines[0]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("case", "command"), CASES, ids=[case.name for case, _ in CASES])
def test_it_is_one_line_and_nothing_is_left(
    case: Case,
    command: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(case, tmp_path)
    before = holdings(tmp_path)
    ended = run_here(command, capfd, monkeypatch)
    check(case, ended)
    assert holdings(tmp_path) == before


@pytest.mark.parametrize("name", ALONE)
def test_so_it_is_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    case, command = next((case, command) for case, command in CASES if case.name == name)
    put(case, tmp_path)
    before = holdings(tmp_path)
    code = f"import sys; sys.path.insert(1, {str(ROOT)!r}); from flows.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    check(case, Ended(done.returncode, done.stdout, done.stderr))
    assert holdings(tmp_path) == before


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case, _ in CASES]
    assert len(names) == len(set(names)) >= 60
