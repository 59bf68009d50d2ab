"""Where commands speak: results on stdout, everything else on stderr."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 240


class Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the moment: while bars are drawn, lines go above them."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_to_stderr(*, quiet: bool = False) -> None:
    """Print what stages log as plain lines on stderr, once, apart from Prefect's own log.

    Quiet: warnings only, and no bars.
    """
    log = logging.getLogger("enginesmith")
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False
    if not log.handlers:
        log.addHandler(Stderr())


def console() -> "Console":
    """The terminal, or plain text where stdout is piped or NO_COLOR is set.

    Nothing printed is taken for markup: names and shapes hold brackets.
    """
    from rich.console import Console

    # Piped, a table is for a file or a tool: no line may be cut to a terminal's width.
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def say(text: str, style: str | None = None) -> None:
    """A sentence: broken between words on a terminal, one line for a file or a tool."""
    console().print(text, style=style, soft_wrap=not sys.stdout.isatty())


@contextmanager
def writing(option: str, file: Path) -> Iterator[None]:
    """Make the folder that ``file`` is to lie in; what then keeps it from being written is told."""
    from schemas.errors import InputError

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"{option} {file} cannot be written ({error.strerror}): choose a folder of yours"
        ) from error


def write_page(file: Path, page: str) -> None:
    """Write an HTML page; raises InputError where the file cannot be written."""
    with writing("--html", file):
        file.write_text(page, encoding="utf-8")
