"""The manners of the command line: help, completion, quiet, colours, bars, interrupts."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from flows.cli import _stopped, app
from tests.flows.conftest import REPOSITORY
from tests.flows.test_cli import enginesmith

COMMAND = (sys.executable, "-c", "from flows.cli import main; main()")
SPEAKS_NO_JSON = {"worker", "schema"}
"""What becomes Prefect's worker, and what prints nothing but JSON anyway."""


def commands() -> list[tuple[str, object]]:
    root = typer.main.get_command(app)
    found = []
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [(f"{name} {x}", y) for x, y in inner.items()] if inner else [(name, command)]
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda x: str(x)[:20])
def test_help_teaches_with_an_example_that_the_command_takes(name: str, command: object) -> None:
    text = command.help or ""  # type: ignore[attr-defined]
    examples = re.findall(rf"enginesmith {name}\b(?:[^\n]|\n(?! *\n))*", text)
    assert examples, name
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}  # type: ignore[attr-defined]
    used = set(re.findall(r"(?<!\S)--[a-z-]+", " ".join(examples)))
    assert used <= known


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda x: str(x)[:20])
def test_every_command_speaks_json(name: str, command: object) -> None:
    options = {o for p in command.params for o in p.opts}  # type: ignore[attr-defined]
    assert ("--json" in options) is (name not in SPEAKS_NO_JSON)


@pytest.mark.parametrize("name", ["run", "train", "sweep", "nightly", "build", "profile"])
def test_long_commands_can_be_quiet(name: str) -> None:
    options = {o for p in dict(commands())[name].params for o in p.opts}  # type: ignore[attr-defined]
    assert {"--quiet", "-q"} <= options


def test_the_shell_completes_commands_choices_and_jobs(tmp_path: Path) -> None:
    for job in ("quickstart", "other"):
        (tmp_path / "artifacts/runs" / job).mkdir(parents=True)
        (tmp_path / "artifacts/runs" / job / "report.json").touch()

    def completed(typed: str) -> list[str]:
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
        done = subprocess.run(
            [*COMMAND[:2], f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); {COMMAND[2]}"],
            env=os.environ | words | {"_ENGINESMITH_COMPLETE": "complete_bash"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert completed("enginesmith comp") == ["compare"]
    assert completed("enginesmith lint --target tensorrt_") == ["tensorrt_rtx"]
    assert completed("enginesmith compare qu") == ["quickstart"]


def on_a_terminal(code: str, **environment: str) -> str:
    """What a program prints where stdin, stdout and stderr are a terminal."""
    ours, theirs = pty.openpty()
    coloured = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=REPOSITORY,
        env={**coloured, "TERM": "xterm", "COLUMNS": "120", **environment},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that the terminal's other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait(60) == 0, said
    return said.decode()


BARS = """
import time
from flows.commands.output import log_to_stderr
from tasks.progress import track
import logging
log_to_stderr(quiet={quiet})
for outer in track(range(2), "sweep", 2):
    logging.getLogger("enginesmith").info("a line")
    for inner in track(range(3), "calibrate", 3):
        time.sleep(0.15)
"""


def test_bars_show_count_rate_and_time_left_one_below_the_other() -> None:
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_a_terminal(BARS.format(quiet=False)))
    assert re.search(r"calibrate.* 2/3 .*\d\.\d/s .*0:00:0\d", said)
    assert re.search(r"sweep.* 1/2", said)
    assert "a line" in said


def test_quiet_shows_neither_bars_nor_lines() -> None:
    assert on_a_terminal(BARS.format(quiet=True)).strip() == ""


def test_colours_are_for_terminals_and_no_color_takes_them_away() -> None:
    doctor = "import sys; sys.argv = ['enginesmith', 'doctor']; from flows.cli import main; main()"
    yellow = "\x1b[33m"
    said = on_a_terminal(doctor)
    assert (yellow in said) == ("does not" in said)
    assert "\x1b[3" not in on_a_terminal(doctor, NO_COLOR="1")
    assert "\x1b" not in enginesmith("doctor").stdout


def test_doctor_has_a_fix_to_every_no() -> None:
    import json

    rows = json.loads(enginesmith("doctor", "--json").stdout)["engines"]
    for row in rows:
        if "no" in (row["builds"], row["runs"]):
            assert re.search(r"run in|copy|install|compile|use", row["advice"]), row
        else:
            assert row["advice"] == ""


def test_an_interrupted_server_stops_with_a_sentence(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "reports", "--port", "0", "--artifacts", str(tmp_path)],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
        # A test runner in the background hands on that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr.read().strip() == "enginesmith: stopped"


def test_an_interrupted_run_says_how_to_go_on() -> None:
    said = _stopped(["run", "jobs/my job.yaml", "--set", "calibration.images=64"])
    assert said.endswith("enginesmith run 'jobs/my job.yaml' --set calibration.images=64")
    assert _stopped(["inspect", "x.plan"]) == "stopped"


def test_version_and_debug_come_before_any_command() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", enginesmith("--version").stdout)
    done = enginesmith("--debug", "lint", "nowhere.onnx", "--target", "tensorrt")
    assert "Traceback" in done.stderr
