"""The ``latest`` pointer of a job: promotion, rollback, and what there is.

Layout within the artifact store, which is a folder or an object store::

    published/<job>/latest.json          the pointer, replaced as a whole
    published/<job>/versions/<digest>/   a version; nothing in it ever changes
        version.json                     what it holds; its digest is the folder's name

The pointer is a file and not a symbolic link, because object stores have no links and no renames:
there one PUT replaces it just as atomically. Versions are named by content and not by a counter,
because a counter needs a lock that object stores do not have, and because publishing the same
thing twice then is one version. ``version.json`` is written last: a folder without it is none.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from schemas.artifact import Sha256
from schemas.base import Gate
from schemas.errors import InputError, nearest
from schemas.publish import Pointer, Promotion, Version, VersionState
from tasks.artifacts.backend import Entry
from tasks.artifacts.store import Store

ROOT = "published"
POINTER = "latest.json"
VERSION = "version.json"


class GatesFailedError(Exception):
    """A version was not promoted, because something that the job demands does not hold."""

    def __init__(self, job: str, gates: Sequence[Gate]) -> None:
        self.gates = tuple(gate for gate in gates if not gate.passed)
        failed = "; ".join(f"{gate.name}: {gate.detail}" for gate in self.gates)
        super().__init__(
            f"{job} is not published: {failed or 'its run has no gates'}: mend what failed and run "
            "the job again; latest stays where it was"
        )


class WithdrawnError(InputError):
    """A version was rolled back, and is not promoted again unless asked for."""


def job_key(job: str) -> str:
    """Where a job's versions lie in the store."""
    return f"{ROOT}/{job}"


def version_key(job: str, version: str) -> str:
    """Where a version lies in the store."""
    return f"{job_key(job)}/versions/{version}"


def read_pointer(store: Store, job: str) -> Pointer | None:
    """Which version of a job is the latest; None where nothing was promoted yet.

    Raises InputError where the file is not a pointer.
    """
    key = f"{job_key(job)}/{POINTER}"
    try:
        return Pointer.model_validate_json(store.backend.read(key))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(
            f"{key} in {store.location} is damaged ({error.errors()[0]['msg']}): remove it and "
            "publish again"
        ) from error


def promote(
    store: Store,
    job: str,
    version: str,
    gates: Sequence[Gate],
    *,
    report_sha256: Sha256 | None = None,
    again: bool = False,
) -> Pointer:
    """Make ``version``, which is in the store already, the latest, unless it is already.

    Raises GatesFailedError unless there are gates and all passed, WithdrawnError where the version
    was rolled back before and ``again`` is False, and InputError where it is not there.
    """
    if not gates or not all(gate.passed for gate in gates):
        raise GatesFailedError(job, gates)
    if not is_there(store, job, version):
        raise InputError(
            f"version {version} of {job} is not in {store.location}: publish the run again"
        )
    promotion = Promotion(
        version=version, promoted_at=datetime.now(UTC), report_sha256=report_sha256
    )

    def change(pointer: Pointer | None) -> Pointer:
        if pointer is None:
            return Pointer(latest=promotion)
        if pointer.latest.version == version:
            return pointer
        if version in pointer.withdrawn and not again:
            raise WithdrawnError(
                f"version {version} of {job} was rolled back and stays so: publish it with "
                "--again if it is wanted after all"
            )
        before = (*pointer.earlier, pointer.latest)
        return Pointer(
            latest=promotion,
            earlier=tuple(x for x in before if x.version != version),
            withdrawn=tuple(x for x in pointer.withdrawn if x != version),
        )

    return _replace(store, job, change)


def rollback(store: Store, job: str) -> Pointer:
    """Make what was the latest before the latest again, passing over versions that are gone.

    The version left behind is withdrawn: later runs that make it once more do not promote it.
    Raises InputError where there is nothing to go back to.
    """

    def change(pointer: Pointer | None) -> Pointer:
        if pointer is None:
            raise _never_published(store, job)
        gone = not is_there(store, job, pointer.latest.version)
        present = [x for x in pointer.earlier if is_there(store, job, x.version)]
        if not present:
            raise InputError(
                f"version {pointer.latest.version} of {job} has none before it that is still "
                "there: publish another run instead"
            )
        return Pointer(
            latest=present[-1],
            earlier=tuple(present[:-1]),
            # What somebody removed was not found bad.
            withdrawn=pointer.withdrawn if gone else (*pointer.withdrawn, pointer.latest.version),
        )

    return _replace(store, job, change)


def latest_folder(store: Store, job: str) -> Path:
    """The latest version of a job as a folder of this machine.

    Raises InputError where nothing was promoted, or what was has been removed.
    """
    pointer = read_pointer(store, job)
    if pointer is None:
        raise _never_published(store, job)
    version = pointer.latest.version
    key = version_key(job, version)
    try:
        # The original is read, and not a copy that may outlive it.
        held = Version.model_validate_json(store.backend.read(f"{key}/{VERSION}"))
        for path in (*held.files, VERSION):
            store.backend.fetch(f"{key}/{path}")
    except FileNotFoundError as error:
        raise InputError(
            f"latest of {job} is version {version}, which was removed from {store.location} or is "
            f"not whole: go back (enginesmith rollback {job}), or publish again"
        ) from error
    return store.root / key


def versions(store: Store, job: str) -> tuple[VersionState, ...]:
    """Every complete version in the store, the never promoted first and the latest last.

    Raises InputError where nothing of the job was published.
    """
    pointer = read_pointer(store, job)
    known: tuple[Promotion, ...] = ()
    if pointer is not None:
        known = (*pointer.earlier, pointer.latest)
    order = {promotion.version: place for place, promotion in enumerate(known)}
    prefix = f"{job_key(job)}/versions"
    parts = [entry.key.removeprefix(f"{prefix}/").split("/") for entry in _below(store, prefix)]
    names = [part[0] for part in parts if part[1:] == [VERSION]]
    if pointer is None and not names:
        raise _never_published(store, job)
    return tuple(
        VersionState(
            version=name,
            key=version_key(job, name),
            latest=pointer is not None and pointer.latest.version == name,
            promoted=known[order[name]] if name in order else None,
            withdrawn=pointer is not None and name in pointer.withdrawn,
        )
        for name in sorted(names, key=lambda name: (order.get(name, -1), name))
    )


def removed_latest(store: Store, job: str) -> str | None:
    """The latest version of a job where it is not in the store any more; else None."""
    pointer = read_pointer(store, job)
    if pointer is None or is_there(store, job, pointer.latest.version):
        return None
    return pointer.latest.version


def published_jobs(store: Store) -> tuple[str, ...]:
    """The jobs of which something was promoted, by name."""
    parts = [entry.key.split("/") for entry in _below(store, ROOT)]
    return tuple(sorted(part[1] for part in parts if part[2:] == [POINTER]))


def is_there(store: Store, job: str, version: str) -> bool:
    """Whether a version is in the store as a whole."""
    try:
        store.backend.read(f"{version_key(job, version)}/{VERSION}")
    except FileNotFoundError:
        return False
    return True


def _below(store: Store, prefix: str) -> Iterator[Entry]:
    try:
        yield from store.backend.entries(prefix)
    except FileNotFoundError:
        return


def _never_published(store: Store, job: str) -> InputError:
    known = published_jobs(store)
    publish_it = f"publish its newest run, enginesmith publish {job}"
    return InputError(
        f"nothing of job {job} is published in {store.location}: "
        f"{nearest(job, known, none=publish_it)}"
    )


def _replace(store: Store, job: str, change: Callable[[Pointer | None], Pointer]) -> Pointer:
    change(read_pointer(store, job))  # What cannot be done leaves nothing behind.
    with _locked(store.root / job_key(job)):
        before = read_pointer(store, job)
        after = change(before)
        if after != before:
            data = after.model_dump_json(indent=2).encode() + b"\n"
            store.backend.write(f"{job_key(job)}/{POINTER}", data)
    return after


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One change at a time on this machine; the kernel lets go when the holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
