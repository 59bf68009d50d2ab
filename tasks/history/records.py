"""The history of a store: one immutable file for each finished build.

Layout: ``history/<job>/<sequence>-<run>.json``. The sequence orders builds, because the clocks of
the machines that build may differ; the run's id keeps two builds that end at the same moment from
overwriting each other, for which an object store has no lock. A file whose seal does not fit its
content is damaged: it is named and passed over.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from schemas.errors import InputError, nearest
from schemas.history import BuildRecord, Damaged
from tasks.artifacts.store import Store

HISTORY = "history"
FILE = re.compile(r"^history/(?P<job>[a-z0-9-]+)/(?P<sequence>\d{8})-[0-9a-f]{12}\.json$")


@dataclass(frozen=True)
class History:
    """The builds of one job, in order, and what could not be read."""

    builds: tuple[BuildRecord, ...]
    damaged: tuple[Damaged, ...]

    @property
    def last_good(self) -> BuildRecord | None:
        return next((build for build in reversed(self.builds) if build.passed), None)

    @property
    def next_sequence(self) -> int:
        """One more than any build has, damaged ones included."""
        read = [build.sequence for build in self.builds]
        return max([0, *read, *(sequence_of(item.key) for item in self.damaged)]) + 1


def sequence_of(key: str) -> int:
    """The sequence in a record's file name; 0 where the name is of another form."""
    match = FILE.match(key)
    return int(match["sequence"]) if match else 0


def seal_of(record: BuildRecord) -> str:
    """Hex SHA-256 over everything but the seal."""
    bare = record.model_copy(update={"seal": ""})
    return hashlib.sha256(bare.model_dump_json().encode()).hexdigest()


def append(store: Store, record: BuildRecord) -> BuildRecord:
    """Write a record, sealed."""
    sealed = record.model_copy(update={"seal": seal_of(record)})
    key = f"{HISTORY}/{record.job}/{record.sequence:08d}-{_mark(record.run)}.json"
    store.backend.write(key, sealed.model_dump_json(indent=2).encode() + b"\n")
    return sealed


def _mark(run: str) -> str:
    """What of a run's id is in the name of its record."""
    return hashlib.sha256(run.encode()).hexdigest()[:12]


def records_of(store: Store, runs: Collection[str]) -> dict[str, BuildRecord]:
    """The records of runs, by run; no other record is read, however many there are."""
    marks = {_mark(run) for run in runs}
    keys = (entry.key for entry in store.backend.entries(HISTORY))
    found = (read_record(store, key) for key in keys if key[-17:-5] in marks)
    return {x.run: x for x in found if isinstance(x, BuildRecord) and x.run in runs}


def read_history(store: Store, job: str) -> History:
    """The builds of a job by sequence."""
    builds: list[tuple[str, BuildRecord]] = []
    damaged: list[Damaged] = []
    for entry in store.backend.entries(f"{HISTORY}/{job}"):
        found = read_record(store, entry.key)
        if isinstance(found, Damaged):
            damaged.append(found)
        else:
            builds.append((entry.key, found))
    return History(tuple(record for _, record in sorted(builds, key=_order)), tuple(damaged))


def _order(found: tuple[str, BuildRecord]) -> tuple[int, str]:
    return found[1].sequence, found[0]


def read_record(store: Store, key: str) -> BuildRecord | Damaged:
    """One record, or why it cannot be used."""
    match = FILE.match(key)
    if match is None:
        return Damaged(key=key, reason="is not named like a record of the history")
    try:
        record = BuildRecord.model_validate_json(store.backend.read(key))
    except FileNotFoundError:
        return Damaged(key=key, reason="is gone, or a link")
    except ValidationError as error:
        return Damaged(key=key, reason=f"cannot be read: {error.errors()[0]['msg']}")
    if record.seal != seal_of(record):
        return Damaged(key=key, reason="was changed after it was written: its seal does not fit")
    if (record.job, record.sequence) != (match["job"], int(match["sequence"])):
        return Damaged(key=key, reason=f"is of {record.job}, build {record.sequence}")
    return record


def job_names(store: Store) -> list[str]:
    """The jobs that have a history."""
    names = {entry.key.split("/")[1] for entry in store.backend.entries(HISTORY)}
    return sorted(names)


def histories(store: Store) -> Iterator[tuple[str, History]]:
    """Every job's history."""
    for job in job_names(store):
        yield job, read_history(store, job)


def named_history(store: Store, job: str) -> History:
    """The history of a job; raises InputError, with the nearest name, where it has none."""
    names = job_names(store)
    if job not in names:
        run_it = "run its job first, enginesmith run JOB.yaml"
        raise InputError(
            f"no build of {job!r} has finished in {store.location}: "
            f"{nearest(job, names, none=run_it)}"
        )
    return read_history(store, job)
