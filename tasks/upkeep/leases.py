"""Builds and garbage collection keep out of each other's way, whatever machines they run on.

Each writes a lease into the store and then looks for the other's: a build waits while collection is
under way, and collection leaves everything alone while a build runs. The store needs neither locks
nor renames for that, only that what was written is seen, which S3 promises too. A lease is renewed
while its holder lives and is void when it has not been for a while, by the store's own clock.
"""

import functools
import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeVar

from schemas.errors import InputError
from tasks.artifacts.backend import Entry
from tasks.artifacts.store import Store, current_store

P = ParamSpec("P")
R = TypeVar("R")

LEASES = "leases"
RENEWED_S = 30.0
VOID_S = 900.0
"""A build that holds Python's lock in a long C call cannot renew: give it a quarter of an hour."""
POLL_S = 1.0

Kind = Literal["build", "gc"]

log = logging.getLogger("enginesmith")


@dataclass(frozen=True)
class Lease:
    """Somebody works with the store."""

    key: str
    kind: str
    holder: str


def living(store: Store, kind: Kind, now: float | None = None) -> list[Lease]:
    """The leases of a kind that are not void."""
    found = list(store.backend.entries(LEASES))
    if not found:
        return []
    now = store.backend.now() if now is None else now
    alive = [entry for entry in found if now - entry.modified < VOID_S]
    leases = []
    for entry in alive:
        if not entry.key.startswith(f"{LEASES}/{kind}-"):
            continue
        try:
            holder = str(json.loads(store.backend.read(entry.key))["holder"])
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            holder = "somebody"
        leases.append(Lease(entry.key, kind, holder))
    return leases


def void(store: Store) -> list[Entry]:
    """Leases of builds that were killed."""
    found = list(store.backend.entries(LEASES))
    if not found:
        return []
    now = store.backend.now()
    return [entry for entry in found if now - entry.modified >= VOID_S]


@contextmanager
def held(store: Store, kind: Kind) -> Iterator[Lease]:
    """A lease for as long as the context lasts, renewed meanwhile."""
    holder = f"process {os.getpid()} on {platform.node()}"
    lease = Lease(f"{LEASES}/{kind}-{uuid.uuid4().hex}.json", kind, holder)
    ended = threading.Event()

    def write() -> None:
        store.backend.write(lease.key, json.dumps({"holder": holder}).encode())

    def renew() -> None:
        while not ended.wait(RENEWED_S):
            try:
                write()
            except (InputError, OSError) as error:
                log.warning("the build's lease could not be renewed: %s", error)

    write()
    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        try:
            store.backend.remove(lease.key)
        except (InputError, OSError) as error:
            # What went wrong inside is what has to be said, and a lease ends by itself.
            log.warning("lease %s stays for %.0f minutes: %s", lease.key, VOID_S / 60, error)


@contextmanager
def building(store: Store) -> Iterator[None]:
    """Keep garbage collection off; waits where it is under way."""
    said = False
    while True:
        with held(store, "build"):
            collectors = living(store, "gc")
            if not collectors:
                yield
                return
        if not said:
            log.info("waiting for cache gc (%s) to end", collectors[0].holder)
            said = True
        time.sleep(POLL_S)


def builds(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function hold a build's lease on the current store while it runs."""

    @functools.wraps(function)
    def leased(*args: P.args, **kwargs: P.kwargs) -> R:
        with building(current_store()):
            return function(*args, **kwargs)

    return leased
