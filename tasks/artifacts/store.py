"""Files named by their content, in a folder or on any file system that fsspec knows.

Layout: ``objects/<first two hex digits>/<sha256><suffixes>``, temporary files in ``tmp/``.
Nothing half-written is ever visible, and a file is checked against its name whenever it is opened.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from schemas.artifact import ArtifactRef
from schemas.errors import StaleArtifactError
from tasks.artifacts.backend import open_backend
from tasks.artifacts.trouble import writing_to

M = TypeVar("M", bound=BaseModel)

ARTIFACTS_VARIABLE = "ENGINESMITH_ARTIFACTS"


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _object_path(digest: str, suffix: str) -> str:
    return f"objects/{digest[:2]}/{digest}{suffix}"


def _suffix(file: Path) -> str:
    return file.suffix.lower()


class Store:
    """The artifact store in a folder or at a URL, such as ``s3://bucket/prefix``.

    ``location`` is where it is; ``root`` is a folder of this machine: the store itself where it is
    local, else the copies of what was fetched and put.

    Raises InputError where the store cannot be used.
    """

    def __init__(self, location: Path | str) -> None:
        self.backend = open_backend(location)
        self.location = self.backend.location
        self.root = self.backend.root

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A scratch folder beside the store's files on this machine, gone when left.

        Raises InputError where the disk takes no more files.
        """
        tmp = self.root / "tmp"
        with (
            writing_to(self.root),
            # Of a disk that went read-only meanwhile, the write is to be told of, not the clean-up.
            tempfile.TemporaryDirectory(dir=tmp, ignore_cleanup_errors=True) as folder,
        ):
            yield Path(folder)

    def holds(self, file: Path) -> bool:
        """Whether a file of the same content and suffix is on this machine already."""
        return (self.root / _object_path(sha256_of_file(file), _suffix(file))).is_file()

    def put_file(self, kind: str, source: Path) -> ArtifactRef:
        """Copy a file into the store; its suffixes are kept."""
        with self.workspace() as folder:
            copy = folder / "object"
            shutil.copyfile(source, copy)
            return self._adopt(kind, copy, _suffix(source))

    def put_bytes(self, kind: str, data: bytes, suffix: str) -> ArtifactRef:
        """Store bytes as a file with the given suffix, such as ``.json``."""
        with self.workspace() as folder:
            copy = folder / "object"
            copy.write_bytes(data)
            return self._adopt(kind, copy, suffix)

    def put_model(self, kind: str, value: BaseModel) -> ArtifactRef:
        """Store a pydantic model as indented JSON."""
        return self.put_bytes(kind, value.model_dump_json(indent=2).encode() + b"\n", ".json")

    def _adopt(self, kind: str, file: Path, suffix: str) -> ArtifactRef:
        digest = sha256_of_file(file)
        ref = ArtifactRef(kind=kind, sha256=digest, path=_object_path(digest, suffix))
        self.backend.put(file, ref.path)
        return ref

    def open(self, ref: ArtifactRef) -> Path:
        """The file of a reference, on this machine and checked.

        Raises StaleArtifactError where it is missing, or holds something else than its digest says.
        """
        path = self._fetch(ref)
        if sha256_of_file(path) != ref.sha256:
            # A damaged copy is replaced by the original; a damaged original is nothing to go on.
            if self.backend.forget(ref.path):
                path = self._fetch(ref)
            if sha256_of_file(path) != ref.sha256:
                self.backend.forget(ref.path)
                raise StaleArtifactError(
                    f"{ref.kind} {ref.sha256[:12]} in {self.location} is damaged: "
                    "run the job again to rebuild it"
                )
        self.backend.confirm(ref.path)
        return path

    def _fetch(self, ref: ArtifactRef) -> Path:
        try:
            return self.backend.fetch(ref.path)
        except FileNotFoundError as error:
            raise StaleArtifactError(
                f"{ref.kind} {ref.sha256[:12]} is missing from {self.location}: "
                "run the job again to rebuild it"
            ) from error

    def load(self, ref: ArtifactRef, schema: type[M]) -> M:
        """A pydantic model stored with ``put_model``."""
        return schema.model_validate_json(self.open(ref).read_bytes())


def current_store() -> Store:
    """The store that this process works in: the folder or URL that ENGINESMITH_ARTIFACTS names.

    An environment variable, because a mounted volume is a property of the machine and not of a
    job: worker, container and command line set it once.
    """
    return Store(os.environ.get(ARTIFACTS_VARIABLE, "artifacts"))
