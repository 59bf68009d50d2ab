"""Reading a store through: every file against its name, every reference against the files."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas.artifact import ArtifactRef
from schemas.store import Finding, VerifyReport
from tasks.artifacts.backend import Entry
from tasks.artifacts.store import Store
from tasks.upkeep.inventory import OBJECTS, CachedResult, cached_results, digest_in

CHUNK_BYTES = 1 << 20
LEFT_OVER_S = 3600.0
"""A younger temporary file may belong to a run that is under way."""


@dataclass(frozen=True)
class Maker:
    """Who made an object: a stage, and where known a job."""

    kind: str
    stage: str
    job: str | None = None

    def __str__(self) -> str:
        job = f"run {self.job} again" if self.job else "run its job again"
        return f"{job}: stage {self.stage} makes it"


def verify(
    store: Store,
    makers: dict[str, Maker],
    others: Iterable[Finding] = (),
    *,
    remove: bool = False,
) -> VerifyReport:
    """Look at everything, and with ``remove`` remove what is not right, so that a run rebuilds it.

    ``makers`` says of objects, by digest, who made them; ``others`` is what history and
    publications found out about themselves.
    """
    results = list(cached_results(store))
    for result in results:
        for ref in result.refs:
            makers.setdefault(ref.sha256, Maker(ref.kind, result.task))
    objects = list(store.backend.entries(OBJECTS))
    findings = [*_objects(store, objects, makers), *_results(results, objects)]
    findings += [*_left_overs(store), *others]
    if remove:
        found = {finding.key for finding in findings}
        # What refers to a removed object is of no use either.
        objects = [entry for entry in objects if entry.key not in found]
        results = [result for result in results if result.entry.key not in found]
        findings += _results(results, objects)
        for finding in findings:
            store.backend.remove(finding.key)
    return VerifyReport(
        location=store.location,
        checked=len(objects) + len(results),
        findings=tuple(findings),
        removed=remove,
    )


def _objects(store: Store, objects: Iterable[Entry], makers: dict[str, Maker]) -> Iterator[Finding]:
    for entry in objects:
        digest = digest_in(entry.key)
        maker = makers.get(digest or "")
        found = _damage(store, entry, digest)
        if found is not None:
            advice = str(maker) if maker else "no result refers to it: nothing needs it"
            kind = f"{maker.kind}, " if maker else ""
            yield Finding(
                key=entry.key,
                damage="link" if entry.link else "damaged",
                detail=f"{kind}{found}",
                rebuilt_by=advice,
            )


def _damage(store: Store, entry: Entry, digest: str | None) -> str | None:
    """What is wrong with an object; None where it is what its name says."""
    if entry.link:
        return "a link where a file belongs"
    if digest is None:
        return "is not named by a digest"
    read = hashlib.sha256()
    try:
        with store.backend.stream(entry.key) as file:
            while chunk := file.read(CHUNK_BYTES):
                read.update(chunk)
    except FileNotFoundError:
        return None
    if read.hexdigest() == digest:
        return None
    return f"{entry.size_bytes:,} bytes of another digest, {read.hexdigest()[:12]}"


def _results(results: Iterable[CachedResult], objects: Iterable[Entry]) -> Iterator[Finding]:
    there = {entry.key for entry in objects}
    for result in results:
        again = f"run the job again: stage {result.task} runs anew"
        if result.unreadable is not None:
            yield Finding(
                key=result.entry.key,
                damage="unreadable",
                detail=f"cached result of {result.task} {result.unreadable}",
                rebuilt_by=again,
            )
            continue
        gone = [ref for ref in result.refs if ref.path not in there]
        if gone:
            yield Finding(
                key=result.entry.key,
                damage="missing",
                detail=f"cached result of {result.task} refers to {_named(gone)}, not there",
                rebuilt_by=again,
            )


def _named(refs: Iterable[ArtifactRef]) -> str:
    return ", ".join(f"{ref.kind} {ref.sha256[:12]}" for ref in refs)


def _left_overs(store: Store) -> Iterator[Finding]:
    for entry in left_overs(store, LEFT_OVER_S):
        yield Finding(
            key=entry.key,
            damage="left over",
            detail=f"{entry.size_bytes:,} bytes of a run that was killed",
            rebuilt_by="nothing needs it",
        )


def left_overs(store: Store, older_than_s: float) -> list[Entry]:
    """Temporary files that nobody can be writing any more."""
    found = list(store.backend.scratch())
    if not found:
        return []
    now = store.backend.now()
    return [entry for entry in found if now - entry.modified >= older_than_s]
