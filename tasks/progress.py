"""Progress of long work: a bar on a terminal, a log line about every tenth elsewhere."""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
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
    shown = 0
    for done, item in enumerate(items, start=1):
        yield item
        if total > 1 and done * 10 // total > shown:
            shown = done * 10 // total
            log.info("%s: %d of %d", label, done, total)
