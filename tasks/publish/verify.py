"""Reading through what is published: every file against what its version says of it."""

import hashlib
import re
from collections.abc import Iterator

from pydantic import ValidationError

from schemas.errors import InputError
from schemas.publish import Version
from schemas.store import Damage, Finding
from tasks.artifacts.backend import Entry
from tasks.artifacts.store import Store
from tasks.publish.latest import ROOT, VERSION, read_pointer

_POINTER = re.compile(rf"^{ROOT}/(?P<job>[^/]+)/latest\.json$")
_FILE = re.compile(rf"^(?P<top>{ROOT}/(?P<job>[^/]+)/versions/(?P<version>[^/]+))/(?P<path>.+)$")


def damaged_publications(store: Store) -> list[Finding]:
    """What is not right below ``published``; a version without ``version.json`` is none yet."""
    there = {entry.key: entry for entry in store.backend.entries(ROOT)}
    found: list[Finding] = []
    for entry in there.values():
        if match := _POINTER.match(entry.key):
            found += _pointer(store, entry, match["job"])
        elif (match := _FILE.match(entry.key)) and match["path"] == VERSION:
            found += _version(store, entry, match, there)
    return found


def _pointer(store: Store, entry: Entry, job: str) -> Iterator[Finding]:
    again = f"publish a run again: enginesmith publish {job}"
    if entry.link:
        yield _finding(entry.key, "link", again)
        return
    try:
        read_pointer(store, job)
    except InputError:
        said = f"does not say which version of {job} is the latest"
        yield _finding(entry.key, "unreadable", again, said)


def _version(
    store: Store, entry: Entry, match: re.Match[str], there: dict[str, Entry]
) -> Iterator[Finding]:
    again = f"publish its run again: enginesmith publish {match['job']}"
    if entry.link:
        yield _finding(entry.key, "link", again)
        return
    if not _sha256(store, entry.key).startswith(match["version"]):
        yield _finding(entry.key, "damaged", again, "its digest is not its version's name")
        return
    try:
        files = Version.model_validate_json(store.backend.read(entry.key)).files
    except ValidationError:
        # Its digest fits: another release of this program wrote it.
        return
    for path, digest in files.items():
        key = f"{match['top']}/{path}"
        file = there.get(key)
        if file is None:
            said = f"version {match['version']} of {match['job']} lacks it"
            yield _finding(key, "missing", again, said)
        elif file.link:
            yield _finding(key, "link", again)
        elif (read := _sha256(store, key)) != digest:
            said = f"{file.size_bytes:,} bytes of another digest, {read[:12]}"
            yield _finding(key, "damaged", again, said)


def _finding(
    key: str, damage: Damage, again: str, said: str = "a link where a file belongs"
) -> Finding:
    return Finding(key=key, damage=damage, detail=said, rebuilt_by=again)


def _sha256(store: Store, key: str) -> str:
    """Of the original; empty where it is gone meanwhile."""
    digest = hashlib.sha256()
    try:
        with store.backend.stream(key) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()
