"""A store in a folder of this machine, or of a file system that is mounted here."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from schemas.errors import InputError
from tasks.artifacts.backend import Entry
from tasks.artifacts.inside import inside
from tasks.artifacts.trouble import writing_to


class Folder:
    """Files are written under a temporary name and renamed; what is fetched is the original.

    Raises InputError where the folder cannot be written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.location = str(root)
        try:
            (root / "objects").mkdir(parents=True, exist_ok=True)
            (root / "tmp").mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=root / "tmp"):
                pass
        except OSError as error:
            raise InputError(
                f"artifact folder {root} cannot be written to ({error.strerror}): "
                "make it writable or name another with --artifacts"
            ) from error

    def fetch(self, key: str) -> Path:
        path = inside(self.root, key)
        if path.is_symlink() or not path.is_file():
            raise FileNotFoundError(path)
        return path

    def confirm(self, key: str) -> None:
        pass

    def forget(self, key: str) -> bool:  # noqa: ARG002
        return False

    def put(self, file: Path, key: str) -> None:
        target = inside(self.root, key)
        with writing_to(self.root):
            target.parent.mkdir(parents=True, exist_ok=True)
            file.chmod(0o644)
            with file.open("rb") as written:
                os.fsync(written.fileno())
            file.replace(target)

    def read(self, key: str) -> bytes:
        return self.fetch(key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        with writing_to(self.root):
            with tempfile.NamedTemporaryFile(dir=self.root / "tmp", delete=False) as file:
                part = Path(file.name)
            try:
                part.write_bytes(data)
                self.put(part, key)
            finally:
                part.unlink(missing_ok=True)

    def stream(self, key: str) -> BinaryIO:
        return self.fetch(key).open("rb")

    def entries(self, prefix: str) -> Iterator[Entry]:
        # Unlike a glob, a walk passes over folders that go away meanwhile.
        paths = [
            Path(folder, name)
            for folder, folders, files in os.walk(inside(self.root, prefix))
            for name in (*folders, *files)
        ]
        for path in sorted(paths):
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(status.st_mode):
                key = path.relative_to(self.root).as_posix()
                link = stat.S_ISLNK(status.st_mode)
                yield Entry(key, status.st_size, status.st_mtime, link)

    def scratch(self) -> Iterator[Entry]:
        return self.entries("tmp")

    def remove(self, key: str) -> None:
        path = inside(self.root, key)
        path.unlink(missing_ok=True)
        # A scratch folder goes with its last file.
        with suppress(OSError):
            while key.startswith("tmp/") and (path := path.parent) != self.root / "tmp":
                path.rmdir()

    def now(self) -> float:
        with tempfile.NamedTemporaryFile(dir=self.root / "tmp") as probe:
            return os.fstat(probe.fileno()).st_mtime
