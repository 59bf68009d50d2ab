"""Progress of long work: a bar on a terminal, a log line about every tenth elsewhere.

Work that is done within seconds stays silent in a log.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 5.0

log = logging.getLogger("enginesmith")


def track(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Yield ``items``, showing how many of ``total`` are done."""
    if sys.stderr.isatty() and total > 1:
        from rich.console import Console
        from rich.progress import track as bar

        yield from bar(
            items, description=label, total=total, console=Console(stderr=True), transient=True
        )
        return
    shown, spoke = 0, time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        tenth, now = done * 10 // total, time.monotonic()
        if total > 1 and tenth > shown and now - spoke > SECONDS_BETWEEN_LINES:
            shown, spoke = tenth, now
            log.info("  %s: %d of %d", label, done, total)
