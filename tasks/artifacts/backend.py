"""Where a store keeps its files: a folder of this machine, or any file system that fsspec knows.

Keys are paths relative to the store's root, with slashes. A file appears under its key whole or not
at all, whatever the place.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, Protocol

from schemas.errors import InputError

REMOTE = re.compile(r"^(?!file:)[a-z][a-z0-9+.-]+://")
PASSWORD = re.compile(r"^[^/]+://[^/@]*:[^/]*@")


@dataclass(frozen=True)
class Entry:
    """A file of a store, as a listing shows it."""

    key: str
    size_bytes: int
    modified: float
    """Seconds since the epoch, by the clock of the place where the file lies."""
    link: bool = False


class Backend(Protocol):
    """A place of files. Raises FileNotFoundError where a key is not there."""

    @property
    def location(self) -> str:
        """What ENGINESMITH_ARTIFACTS says: an absolute folder, or a URL."""
        ...

    @property
    def root(self) -> Path:
        """A folder of this machine for scratch and for what is fetched."""
        ...

    def fetch(self, key: str) -> Path:
        """The file of a key on this machine; not to be changed."""
        ...

    def confirm(self, key: str) -> None:
        """The fetched file is known to be right: see that the original is there too."""
        ...

    def forget(self, key: str) -> bool:
        """Drop a fetched copy; False where the file is the original."""
        ...

    def put(self, file: Path, key: str) -> None:
        """Move a file of the scratch folder into the store."""
        ...

    def read(self, key: str) -> bytes: ...

    def write(self, key: str, data: bytes) -> None: ...

    def stream(self, key: str) -> BinaryIO:
        """The original, to be read through once."""
        ...

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Every file below a folder of the store, in the order of the keys."""
        ...

    def scratch(self) -> Iterator[Entry]:
        """What writers have not finished, there and here; ``remove`` takes these keys too."""
        ...

    def remove(self, key: str) -> None:
        """Remove a file, a link or a fetched copy; one that is gone already is no matter."""
        ...

    def now(self) -> float:
        """The time by the clock that ``modified`` is told by."""
        ...


def open_backend(location: Path | str) -> Backend:
    """The place that a folder or URL names.

    Raises InputError where it cannot be used, saying why.
    """
    text = os.fspath(location)
    if REMOTE.match(text):
        if PASSWORD.match(text):
            # Not shown: a store's address stands in logs, messages and records.
            raise InputError(
                "the address of the artifact store (--artifacts) has a password in it: give "
                "credentials in the environment, where the file system's own library looks"
            )
        return _open_remote(text.rstrip("/"))
    from tasks.artifacts.folder import Folder

    return Folder(Path(re.sub(r"^file:(//)?", "", text)).absolute())


@cache
def _open_remote(url: str) -> Backend:
    """One connection for a process: whether the place can be reached is asked once."""
    from tasks.artifacts.remote import Remote

    return Remote(url)
