"""Removing what nothing needs any more."""

import time
from collections.abc import Callable, Set
from contextlib import nullcontext

from schemas.history import RetentionPolicy
from schemas.store import GcReport
from tasks.artifacts.backend import Entry
from tasks.artifacts.folder import Folder
from tasks.artifacts.store import Store
from tasks.upkeep.inventory import OBJECTS, CachedResult, cached_results, digest_in
from tasks.upkeep.leases import held, living, void
from tasks.upkeep.verify import LEFT_OVER_S, left_overs

SECONDS_AN_HOUR, SECONDS_A_DAY = 3600.0, 86400.0


def collect(
    store: Store,
    policy: RetentionPolicy,
    needs: Callable[[float], tuple[Set[str], Set[str]]],
    *,
    dry_run: bool = False,
) -> GcReport:
    """Remove what neither the history, nor what is published, nor a kept cached result needs.

    Cached results stay that a kept build used, or that are younger than the policy's days; objects
    stay that are needed or that a result refers to which stays. Nothing younger than the grace is
    removed, and while a build runs nothing at all is: the report then says which.

    ``needs`` says, at a time in seconds since the epoch, which digests and which keys of cached
    results history and publications need. It is asked once no build can add to them any more.
    """
    with nullcontext() if dry_run else held(store, "gc"):
        running = () if dry_run else tuple(lease.holder for lease in living(store, "build"))
        doomed, objects = _doomed(store, policy, needs)
        # Whoever writes a lease writes it under a temporary name first.
        stale = left_overs(store, max(LEFT_OVER_S, policy.grace_hours * SECONDS_AN_HOUR))
        stale += void(store)
        copies = _old_copies(store, policy)
        kept = sum(1 for _ in store.backend.entries(OBJECTS)) - len(objects)
        if running:
            doomed, objects, stale, copies, kept = [], [], [], [], kept + len(objects)
        if not dry_run:
            # Results first: whatever is interrupted, no result refers to what is gone.
            for entry in (*(result.entry for result in doomed), *objects, *stale):
                store.backend.remove(entry.key)
            for entry in copies:
                (store.root / entry.key).unlink(missing_ok=True)
    everything = [*(result.entry for result in doomed), *objects, *stale]
    return GcReport(
        location=store.location,
        dry_run=dry_run,
        waiting_for=running,
        objects=tuple(entry.key for entry in objects),
        results=tuple(result.entry.key for result in doomed),
        left_overs=tuple(entry.key for entry in stale),
        copies=tuple(entry.key for entry in copies),
        freed_bytes=sum(entry.size_bytes for entry in everything),
        kept_objects=kept,
    )


def _doomed(
    store: Store, policy: RetentionPolicy, needs: Callable[[float], tuple[Set[str], Set[str]]]
) -> tuple[list[CachedResult], list[Entry]]:
    """The cached results and the objects to remove."""
    now = store.backend.now()
    grace = policy.grace_hours * SECONDS_AN_HOUR
    longest = max(grace, policy.keep_days * SECONDS_A_DAY)
    needed_objects, needed_results = needs(now)
    doomed, needed = [], set(needed_objects)
    for result in cached_results(store):
        if result.key in needed_results or now - result.entry.modified < longest:
            needed |= {ref.sha256 for ref in result.refs}
        else:
            doomed.append(result)
    objects = [
        entry
        for entry in store.backend.entries(OBJECTS)
        if digest_in(entry.key) not in needed and now - entry.modified >= grace
    ]
    return doomed, objects


def _old_copies(store: Store, policy: RetentionPolicy) -> list[Entry]:
    """Copies of a remote store's files that were fetched longer ago than the policy's days."""
    if str(store.root) == store.location:
        return []
    oldest = time.time() - policy.keep_days * SECONDS_A_DAY
    return [x for x in Folder(store.root).entries(OBJECTS) if x.modified < oldest]
