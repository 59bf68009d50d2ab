"""Output that nobody reads any more ends no run."""

import os

from rich.console import Console


def outlive_reader() -> None:
    """Have this process go on where what reads its output, a worker say, is killed.

    Prefect writes log lines with Rich, which would end the process at the first that finds no
    reader.
    """
    Console.on_broken_pipe = _write_to_nobody  # type: ignore[method-assign, assignment]


def _write_to_nobody(_: Console) -> None:
    nobody = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        os.dup2(nobody, output)
    os.close(nobody)
