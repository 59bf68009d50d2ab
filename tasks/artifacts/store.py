"""A folder of files named by their content.

Layout: ``objects/<first two hex digits>/<sha256><suffixes>``, temporary files in ``tmp/``.
A file is written under a temporary name and renamed, so that nothing half-written is ever
visible, and is checked against its name whenever it is opened.
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
from schemas.errors import InputError, StaleArtifactError

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
    """The artifact store under one root folder.

    Raises InputError where the root cannot be written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            (self.root / "objects").mkdir(parents=True, exist_ok=True)
            (self.root / "tmp").mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root / "tmp"):
                pass
        except OSError as error:
            raise InputError(
                f"artifact folder {self.root} cannot be written to ({error.strerror}): "
                "make it writable or name another with --artifacts"
            ) from error

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A scratch folder on the store's file system, gone when left."""
        with tempfile.TemporaryDirectory(dir=self.root / "tmp") as folder:
            yield Path(folder)

    def holds(self, file: Path) -> bool:
        """Whether a file of the same content and suffix is in the store."""
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
        target = self.root / ref.path
        target.parent.mkdir(exist_ok=True)
        file.chmod(0o644)
        with file.open("rb") as written:
            os.fsync(written.fileno())
        file.replace(target)
        return ref

    def open(self, ref: ArtifactRef) -> Path:
        """The file of a reference, checked.

        Raises StaleArtifactError where it is missing, or holds something else than its digest says.
        """
        path = self.root / ref.path
        if path.is_symlink() or not path.is_file():
            raise StaleArtifactError(
                f"{ref.kind} {ref.sha256[:12]} is missing from {self.root}: "
                "run the job again to rebuild it"
            )
        if sha256_of_file(path) != ref.sha256:
            raise StaleArtifactError(
                f"{ref.kind} {ref.sha256[:12]} in {self.root} is damaged: "
                "run the job again to rebuild it"
            )
        return path

    def load(self, ref: ArtifactRef, schema: type[M]) -> M:
        """A pydantic model stored with ``put_model``."""
        return schema.model_validate_json(self.open(ref).read_bytes())


def current_store() -> Store:
    """The store that this process works in: the folder that ENGINESMITH_ARTIFACTS names.

    An environment variable, because a mounted volume is a property of the machine and not of a
    job: worker, container and command line set it once.
    """
    return Store(Path(os.environ.get(ARTIFACTS_VARIABLE, "artifacts")))
