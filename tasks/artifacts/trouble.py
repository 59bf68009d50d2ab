"""What goes wrong with a store, in one line: what, where and how to fix it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import InputError

CREDENTIALS = (
    "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN or AWS_PROFILE, or what "
    "the file system's own library reads"
)

MAKE_ROOM = "free some, with enginesmith cache gc for one, or name another with --artifacts"
WRITING = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EROFS: "mount it writable, or name another with --artifacts",
    errno.EIO: "check the disk, or name another with --artifacts",
}
"""What to do about a disk that takes nothing, by how it says so."""


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn what a full, read-only or failing disk says into InputError.

    Also where whoever was writing took it for something else, as exporters do.
    """
    try:
        yield
    except Exception as error:
        number = _disk_said(error)
        if number is None:
            raise
        raise InputError(
            f"artifact folder {folder} takes no more files ({os.strerror(number)}): "
            f"{WRITING[number]}"
        ) from error


def _disk_said(error: BaseException | None) -> int | None:
    """The error number of a disk's trouble behind an error; libraries may pass on its text only."""
    while error is not None:
        for number in WRITING:
            if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                return number
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


@contextmanager
def explained(location: str, *, missing: bool = True) -> Iterator[None]:
    """Turn a file system's errors into InputError.

    With ``missing`` False a file that is not there stays a FileNotFoundError.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        if not missing:
            # A bucket that went away looks the same; it is told apart when the store is opened.
            raise
        bucket = location.partition("://")[2].partition("/")[0]
        raise InputError(
            f"artifact store {location}: there is no bucket or folder {bucket!r}: make it, or "
            "correct --artifacts or ENGINESMITH_ARTIFACTS"
        ) from error
    except ImportError as error:
        raise InputError(
            f"artifact store {location}: its protocol needs a library that is not here "
            f"({error}): install it"
        ) from error
    except Exception as error:
        raise InputError(f"artifact store {location}: {_why(error)}") from error


def _why(error: BaseException) -> str:
    names = set()
    cause: BaseException | None = error
    while cause is not None:
        names |= {kind.__name__ for kind in type(cause).__mro__}
        cause = cause.__cause__ or cause.__context__
    if names & {
        "PermissionError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
    }:
        return f"the credentials were refused or are not there ({error}): {CREDENTIALS}"
    if names & {"HTTPClientError", "ConnectionError", "TimeoutError", "ClientConnectorError"}:
        return f"cannot be reached ({error}): check AWS_ENDPOINT_URL and the network"
    if isinstance(error, ValueError):
        return f"is not an address that can be used ({error}): name a folder or such as s3://bucket"
    return f"{type(error).__name__}: {error}: check the store and run the command again"
