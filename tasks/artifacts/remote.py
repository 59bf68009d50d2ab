"""A store on S3 or any other file system that fsspec knows, with a folder of copies here.

Credentials and end points come from where the file system's own library looks for them: for S3
``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL`` and so on.
"""

import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from tasks.artifacts.backend import Entry
from tasks.artifacts.folder import Folder
from tasks.artifacts.inside import check_key, inside
from tasks.artifacts.trouble import explained

COPIES = "copies/"
"""What the keys of files start with that are on this machine only."""
COPIES_VARIABLE = "ENGINESMITH_STORE_COPIES"
# Where an upload is visible only once it is whole. Elsewhere a rename makes it so.
WHOLE_UPLOADS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "memory"})
# Where the first part of a path is a bucket, which is not ours to make.
BUCKETS = WHOLE_UPLOADS - {"memory"}


def copies_folder(location: str) -> Path:
    """Where the copies of a remote store's files lie on this machine."""
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    base = Path(os.environ.get(COPIES_VARIABLE, f"{caches}/enginesmith/stores")).expanduser()
    return base.absolute() / hashlib.sha256(location.encode()).hexdigest()[:16]


class Remote:
    """Files go through a folder of copies, so that each is fetched once.

    Raises InputError where the place cannot be reached, refuses the credentials, lacks the bucket,
    or speaks a protocol whose library is not installed.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.root = copies_folder(location)
        self._there: set[str] = set()
        with explained(location):
            import fsspec

            # A listing kept from before would hide what other workers have put there since, and
            # a connection kept from before the credentials that it was made with.
            self.files, self.base = fsspec.core.url_to_fs(
                location, use_listings_cache=False, skip_instance_cache=True
            )
            self.protocol = location.partition(":")[0]
            if self.protocol in BUCKETS:
                self.files.info(self.base.partition("/")[0])
            else:
                self.files.makedirs(self.base, exist_ok=True)
        (self.root / "objects").mkdir(parents=True, exist_ok=True)
        (self.root / "tmp").mkdir(exist_ok=True)

    def fetch(self, key: str) -> Path:
        copy = inside(self.root, key)
        if copy.is_symlink() or not copy.is_file():
            part = self._scratch()
            try:
                with explained(self.location, missing=False):
                    self.files.get_file(self._path(key), str(part))
                copy.parent.mkdir(parents=True, exist_ok=True)
                part.replace(copy)
            finally:
                part.unlink(missing_ok=True)
            self._there.add(key)
        return copy

    def confirm(self, key: str) -> None:
        if key in self._there:
            return
        copy = inside(self.root, key)
        if self._size(key) != copy.stat().st_size:
            self._upload(copy, key)
        self._there.add(key)

    def forget(self, key: str) -> bool:
        inside(self.root, key).unlink(missing_ok=True)
        self._there.discard(key)
        return True

    def put(self, file: Path, key: str) -> None:
        copy = inside(self.root, key)
        had_copy = copy.is_file()
        copy.parent.mkdir(parents=True, exist_ok=True)
        file.chmod(0o644)
        file.replace(copy)
        # Without a copy of before, whatever lies there may be damaged: it is put there anew.
        if had_copy:
            self.confirm(key)
        else:
            self._upload(copy, key)
            self._there.add(key)

    def read(self, key: str) -> bytes:
        with explained(self.location, missing=False):
            return cast(bytes, self.files.cat_file(self._path(key)))

    def write(self, key: str, data: bytes) -> None:
        part = self._scratch()
        try:
            part.write_bytes(data)
            self._upload(part, key)
        finally:
            part.unlink(missing_ok=True)

    def stream(self, key: str) -> BinaryIO:
        with explained(self.location, missing=False):
            return cast(BinaryIO, self.files.open(self._path(key), "rb"))

    def entries(self, prefix: str) -> Iterator[Entry]:
        with explained(self.location):
            found = self.files.find(self._path(prefix), detail=True)
        strip = len(self.base.rstrip("/")) + 1
        for path, info in sorted(found.items()):
            # A bucket's root is listed without its leading slash, a folder's with it.
            key = path[strip:] if path.startswith(self.base) else f"{prefix}/{Path(path).name}"
            yield Entry(key, int(info["size"]), _modified(info))

    def scratch(self) -> Iterator[Entry]:
        yield from self.entries("tmp")
        for entry in Folder(self.root).scratch():
            yield replace(entry, key=COPIES + entry.key)

    def remove(self, key: str) -> None:
        if key.startswith(COPIES):
            Folder(self.root).remove(key.removeprefix(COPIES))
            return
        with explained(self.location), suppress(FileNotFoundError):
            self.files.rm_file(self._path(key))
        self._there.discard(key)

    def now(self) -> float:
        key = f"tmp/{uuid.uuid4().hex}"
        self.write(key, b"now")
        with explained(self.location):
            modified = _modified(self.files.info(self._path(key)))
        self.remove(key)
        return modified

    def _path(self, key: str) -> str:
        return f"{self.base.rstrip('/')}/{check_key(key)}"

    def _scratch(self) -> Path:
        return self.root / "tmp" / uuid.uuid4().hex

    def _size(self, key: str) -> int | None:
        with explained(self.location, missing=False):
            try:
                return int(self.files.info(self._path(key))["size"])
            except FileNotFoundError:
                return None

    def _upload(self, file: Path, key: str) -> None:
        target = self._path(key)
        with explained(self.location):
            if self.protocol in WHOLE_UPLOADS:
                self.files.put_file(str(file), target)
                return
            self.files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self.files.makedirs(self._path("tmp"), exist_ok=True)
            part = self._path(f"tmp/{uuid.uuid4().hex}")
            self.files.put_file(str(file), part)
            self.files.mv(part, target)

    def drop_copies(self, older_than: float) -> list[Entry]:
        """Remove copies that were fetched before a time of this machine's clock; lists them."""
        old = [x for x in Folder(self.root).entries("objects") if x.modified < older_than]
        for entry in old:
            (self.root / entry.key).unlink(missing_ok=True)
            self._there.discard(entry.key)
        return old


def _modified(info: Mapping[str, Any]) -> float:
    """Seconds since the epoch from what a file system says of a file, each in its own words."""
    for name in ("LastModified", "last_modified", "mtime", "modified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, str):
            return datetime.fromisoformat(value).timestamp()
    raise OSError(f"the file system does not say when {info.get('name')} was written")
