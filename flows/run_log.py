"""What a run on the server says: all of it goes there, and output that nobody reads ends no run."""

import logging
import os

from prefect.settings import get_current_settings
from rich.console import Console

from flows.commands.output import Stderr


def log_to_server() -> None:
    """Tell the server what stages say, also when what reads this process's output is killed.

    Prefect writes log lines with Rich, which would end the process at the first that finds no
    reader: where a worker is killed, say. Of its own lines, those that a stage has ended say
    nothing that the stage's does not; each is a row on the server. In a run of the command line
    that command has chosen how much stages say.
    """
    log = logging.getLogger("enginesmith")
    if not any(isinstance(handler, Stderr) for handler in log.handlers):
        log.setLevel(logging.INFO)
    if not get_current_settings().debug_mode:
        logging.getLogger("prefect.task_runs").setLevel(logging.WARNING)
    Console.on_broken_pipe = _write_to_nobody  # type: ignore[method-assign, assignment]


def _write_to_nobody(_: Console) -> None:
    nobody = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        os.dup2(nobody, output)
    os.close(nobody)
