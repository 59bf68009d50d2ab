"""The ``latest`` pointer of a job: promotion, rollback, and what there is.

Layout of ``published/<job>/``::

    latest.json               the pointer, replaced as a whole
    versions/<digest>/        a version; nothing in it ever changes
        version.json          what it holds, with digests; its own digest is the folder's name

The pointer is a file and not a symbolic link, because object stores have no links and no renames:
there one PUT replaces it just as atomically. Versions are named by content and not by a counter,
because a counter needs a lock that object stores do not have, and because publishing the same
thing twice then is one version.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from schemas.artifact import Sha256
from schemas.base import Gate
from schemas.errors import InputError
from schemas.publish import Pointer, Promotion, VersionState

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


def published_root(artifacts: Path) -> Path:
    """Where everything published of an artifact folder lies."""
    return artifacts / "published"


def version_folder(folder: Path, version: str) -> Path:
    """Where a version lies in a job's folder."""
    return folder / "versions" / version


def read_pointer(folder: Path) -> Pointer | None:
    """The pointer of the job published in ``folder``; None where nothing was promoted yet.

    Raises InputError where the file is not a pointer.
    """
    file = folder / POINTER
    try:
        return Pointer.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(
            f"{file} is damaged ({error.errors()[0]['msg']}): remove it and publish again"
        ) from error


def promote(
    folder: Path,
    version: str,
    gates: Sequence[Gate],
    *,
    report_sha256: Sha256 | None = None,
    again: bool = False,
) -> Pointer:
    """Make ``version``, which lies in ``folder`` already, the latest, unless it is already.

    Raises GatesFailedError unless there are gates and all passed, WithdrawnError where the version
    was rolled back before and ``again`` is False, and InputError where it is not there.
    """
    if not gates or not all(gate.passed for gate in gates):
        raise GatesFailedError(folder.name, gates)
    _check_there(folder, version)
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
                f"version {version} of {folder.name} was rolled back and stays so: publish it with "
                "--again if it is wanted after all"
            )
        return Pointer(
            latest=promotion,
            earlier=_without((*pointer.earlier, pointer.latest), {version}),
            withdrawn=tuple(x for x in pointer.withdrawn if x != version),
        )

    return _replace(folder, change)


def rollback(folder: Path) -> Pointer:
    """Make what was the latest before the latest again, passing over versions that are gone.

    The version left behind is withdrawn: later runs that make it once more do not promote it.
    Raises InputError where there is nothing to go back to.
    """

    def change(pointer: Pointer | None) -> Pointer:
        if pointer is None:
            raise InputError(f"{folder.name} was never published: there is nothing to roll back")
        gone = not _is_there(folder, pointer.latest.version)
        present = [x for x in pointer.earlier if _is_there(folder, x.version)]
        if not present:
            raise InputError(
                f"version {pointer.latest.version} of {folder.name} has none before it that is "
                "still there: publish another run instead"
            )
        return Pointer(
            latest=present[-1],
            earlier=tuple(present[:-1]),
            # What somebody removed was not found bad.
            withdrawn=pointer.withdrawn if gone else (*pointer.withdrawn, pointer.latest.version),
        )

    return _replace(folder, change)


def latest_folder(folder: Path) -> Path:
    """The folder of the latest version of the job published in ``folder``.

    Raises InputError where nothing was promoted, or what was has been removed.
    """
    pointer = read_pointer(folder)
    if pointer is None:
        raise InputError(f"{folder.name} was never published: enginesmith publish {folder.name}")
    version = pointer.latest.version
    if not _is_there(folder, version):
        raise InputError(
            f"latest of {folder.name} is version {version}, which was removed from {folder}: "
            f"enginesmith rollback {folder.name}, or publish again"
        )
    return version_folder(folder, version)


def versions(folder: Path) -> tuple[VersionState, ...]:
    """Every complete version on disk, the latest promoted last and the never promoted first."""
    pointer = read_pointer(folder)
    known: tuple[Promotion, ...] = ()
    if pointer is not None:
        known = (*pointer.earlier, pointer.latest)
    order = {promotion.version: place for place, promotion in enumerate(known)}
    names = [
        path.parent.name
        for path in folder.glob(f"versions/*/{VERSION}")
        if len(path.parent.name) == 16
    ]
    return tuple(
        VersionState(
            version=name,
            path=version_folder(folder, name).relative_to(folder).as_posix(),
            latest=pointer is not None and pointer.latest.version == name,
            promoted=known[order[name]] if name in order else None,
            withdrawn=pointer is not None and name in pointer.withdrawn,
        )
        for name in sorted(names, key=lambda name: (order.get(name, -1), name))
    )


def write_durably(file: Path, data: bytes) -> None:
    """Replace a file as a whole; after a crash it holds either the old bytes or the new."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Have a folder's entries on disk, so that a rename in it outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(folder: Path, change: Callable[[Pointer | None], Pointer]) -> Pointer:
    with _locked(folder):
        before = read_pointer(folder)
        after = change(before)
        if after != before:
            write_durably(folder / POINTER, after.model_dump_json(indent=2).encode() + b"\n")
    return after


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One change at a time; the kernel lets go of the lock when its holder dies."""
    if not folder.is_dir():
        raise InputError(f"{folder.name} was never published: there is no folder {folder}")
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_there(folder: Path, version: str) -> bool:
    return (version_folder(folder, version) / VERSION).is_file()


def _check_there(folder: Path, version: str) -> None:
    if not _is_there(folder, version):
        raise InputError(
            f"version {version} of {folder.name} is not in {folder}: publish the run again"
        )


def _without(promotions: Sequence[Promotion], names: set[str]) -> tuple[Promotion, ...]:
    return tuple(x for x in promotions if x.version not in names)
