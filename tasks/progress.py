"""Progress of long work: a bar on a terminal, a log line about every tenth elsewhere.

Work that is done within seconds stays silent in a log. Who runs the work may listen in as well.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_REPORTS = 1.0
Listener = Callable[[str, float], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
# A terminal shows one set of bars at a time, whichever thread draws them.
_bars: "Progress | None" = None

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
    """Yield ``items``, showing how many of ``total`` are done, how fast, and for how much longer.

    Inside another ``track`` the bar of this one is shown below it.
    """
    listener = _listener.get()
    if listener is not None:
        items = _reported(items, label, total, listener)
    if total > 1 and _wants_bars():
        yield from _with_bar(items, label, total)
    else:
        yield from _with_lines(items, label, total)


def _wants_bars() -> bool:
    """On a terminal, unless only warnings are asked for."""
    return sys.stderr.isatty() and (log.level == logging.NOTSET or log.isEnabledFor(logging.INFO))


def _with_bar(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    global _bars
    outermost = _bars is None
    if _bars is None:
        _bars = _new_bars()
        _bars.start()
    bars = _bars
    bar = bars.add_task(label, total=total)
    try:
        for item in items:
            yield item
            bars.advance(bar)
    finally:
        bars.remove_task(bar)
        if outermost:
            _bars = None
            bars.stop()


def _new_bars() -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Steps a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else _rate(speed))

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate())
    console = Console(stderr=True)
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True)


def _with_lines(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    started = spoke = time.monotonic()
    shown = 0
    for done, item in enumerate(items, start=1):
        yield item
        tenth, now = done * 10 // total, time.monotonic()
        if total > 1 and tenth > shown and now - spoke > SECONDS_BETWEEN_LINES:
            shown, spoke = tenth, now
            speed = done / (now - started)
            left = timedelta(seconds=round((total - done) / speed))
            log.info("  %s: %d of %d, %s, %s left", label, done, total, _rate(speed), left)


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{1 / per_second:.1f} s each"
