"""What a retention policy keeps of a store's files."""

import re
from datetime import datetime
from typing import NamedTuple

from schemas.history import BuildRecord, RetentionPolicy
from tasks.artifacts.store import Store
from tasks.history.origins import digests
from tasks.history.records import histories

DIGEST = re.compile(r"[0-9a-f]{64}")
SECONDS_A_DAY = 86400.0


class Kept(NamedTuple):
    """Digests of objects and keys of cached results."""

    objects: frozenset[str]
    results: frozenset[str]


def kept(store: Store, policy: RetentionPolicy, now: float) -> Kept:
    """What the history and what is published need.

    Of each job the newest good builds and all builds of the policy's days, with all that their
    stages took and made; of every build its report; and all that ``latest`` or another published
    version names, with the builds that it came from. ``now`` is in seconds since the epoch.
    """
    published = published_digests(store)
    objects, results = set(published), set[str]()
    for _, history in histories(store):
        objects |= {build.report.sha256 for build in history.builds}
        good = [build for build in history.builds if build.passed][-policy.keep_good :]
        named = [build for build in history.builds if _is_published(build, published)]
        for build in (*good, *named, *_young(history.builds, policy, now)):
            for stage in build.stages:
                objects |= digests(stage.inputs) | digests(stage.outputs)
                if stage.key is not None:
                    results.add(stage.key)
    return Kept(frozenset(objects), frozenset(results))


def published_digests(store: Store) -> set[str]:
    """Every digest in the pointers and versions of what is published."""
    found: set[str] = set()
    for entry in store.backend.entries("published"):
        if entry.key.endswith(".json") and not entry.link:
            text = store.backend.read(entry.key).decode(errors="replace")
            found |= set(DIGEST.findall(text))
    return found


def _is_published(build: BuildRecord, published: set[str]) -> bool:
    return any(engine.plan_sha256 in published for engine in build.engines)


def _young(
    builds: tuple[BuildRecord, ...], policy: RetentionPolicy, now: float
) -> list[BuildRecord]:
    """Builds of the policy's days. A clock that went back makes no build look older than it is."""
    newest: datetime | None = None
    young = []
    for build in builds:
        newest = build.finished if newest is None else max(newest, build.finished)
        if now - newest.timestamp() <= policy.keep_days * SECONDS_A_DAY:
            young.append(build)
    return young
