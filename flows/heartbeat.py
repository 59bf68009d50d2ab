"""Runs inside a run tell the server that they live, as Prefect's own do, but end without a wait.

Prefect's thread looks once a second whether its run is over, and the run waits for that: of a job
that is found in the cache that was a quarter.
"""

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    get_current_settings,
    temporary_settings,
)

EVENT = "prefect.flow-run.heartbeat"
"""What Prefect's thread tells; the automations of flows/deploy wait for it."""

_every_s: ContextVar[float | None] = ContextVar("every_s", default=None)


@contextmanager
def runs_inside() -> Iterator[None]:
    """Flow runs started in here leave telling to ``heartbeat``, as often as the settings say."""
    token = _every_s.set(get_current_settings().flows.heartbeat_frequency)
    try:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield
    finally:
        _every_s.reset(token)


@contextmanager
def heartbeat() -> Iterator[None]:
    """The run that enters lives; does nothing outside of ``runs_inside``, where Prefect tells."""
    every_s = _every_s.get()
    if every_s is None:
        yield
        return
    resource = {
        "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
        "prefect.resource.name": str(flow_run.name),
    }
    ended = threading.Event()

    def tell() -> None:
        emit_event(event=EVENT, resource=resource)
        while not ended.wait(every_s):
            emit_event(event=EVENT, resource=resource)

    # The thread has to know this thread's settings, such as the server's address.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(tell,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
