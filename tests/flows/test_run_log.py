"""A run outlives the worker that read its output."""

import subprocess
import sys
from pathlib import Path

import pytest

LOGS_TO_NOBODY = """
import sys
from pathlib import Path
from prefect.logging.handlers import PrefectConsoleHandler
import logging
from flows.run_log import log_to_server
if sys.argv[2] == "outlive":
    log_to_server()
log = logging.getLogger("anything")
log.addHandler(PrefectConsoleHandler(stream=sys.stdout))
input()
for line in range(3):
    log.warning("line %d", line)
print("a line of its own", flush=True)
Path(sys.argv[1]).touch()
"""


@pytest.mark.parametrize("ending", ["outlive", "end"])
def test_log_lines_that_nobody_reads_end_no_run(tmp_path: Path, ending: str) -> None:
    """By themselves they would: that is why this is here."""
    reached = tmp_path / "reached"
    run = subprocess.Popen(
        [sys.executable, "-c", LOGS_TO_NOBODY, str(reached), ending],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdin is not None
    assert run.stdout is not None
    run.stdout.close()
    run.stdin.write(b"\n")
    run.stdin.close()
    assert run.wait(timeout=120) == (0 if ending == "outlive" else 1)
    assert reached.exists() == (ending == "outlive")
