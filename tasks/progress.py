"""Progress of long work: a bar on a terminal, a log line about every tenth elsewhere.

Work that is done within seconds stays silent in a log. Who runs the work may listen in as well.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_REPORTS = 1.0
Listener = Callable[[str, float], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)

log = logging.getLogger("enginesmith")


@contextmanager
def reported_to(listener: Listener) -> Iterator[None]:
    """Call ``listener(label, percent)`` about what is tracked inside.

    With 0 when it starts, at most once a second on the way, and with 100 when it is done.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def _reported(items: Iterable[T], label: str, total: int, listener: Listener) -> Iterator[T]:
    listener(label, 0.0)
    done, spoke = 0, time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if done < total and time.monotonic() - spoke >= SECONDS_BETWEEN_REPORTS:
            listener(label, 100.0 * done / total)
            spoke = time.monotonic()
    # What ended early has failed, though it need not raise here.
    if done >= total:
        listener(label, 100.0)


def track(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Yield ``items``, showing how many of ``total`` are done."""
    listener = _listener.get()
    if listener is not None:
        items = _reported(items, label, total, listener)
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
