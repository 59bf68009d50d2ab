"""A folder or a tar file of images, read the same way."""

import lzma
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from schemas.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")

TAR_BYTES = 2 << 30
"""As many encoded bytes are held in memory at most."""

REMEMBERED_BYTES = 256 << 20
"""A tar of up to this size stays in memory for the stages that follow."""

_recent: dict[tuple[Path, int, int], "_Tar"] = {}


class Member(NamedTuple):
    """An image by its path inside the container, with forward slashes."""

    name: str


class Container(Protocol):
    def members(self) -> Sequence[Member]:
        """Every image file, in no particular order."""
        ...

    def read(self, member: Member) -> bytes:
        """An image's encoded bytes."""
        ...

    def where(self, member: Member) -> str:
        """An image's place, for messages."""
        ...


def check_container(path: Path) -> None:
    """Raises InputError where there is neither a folder nor a file at ``path``."""
    if not (path.is_dir() or path.is_file()):
        raise InputError(
            f"data.image_folder.path: there is no folder or tar file {path}: correct the path"
        )


def open_container(path: Path) -> Container:
    """The folder or tar file at ``path``. Raises InputError where it is neither."""
    check_container(path)
    return _Folder(path) if path.is_dir() else _tar(path)


def _tar(path: Path) -> "_Tar":
    status = path.stat()
    key = (path.absolute(), status.st_mtime_ns, status.st_size)
    tar = _recent.get(key)
    if tar is None:
        tar = _Tar(path)
        _recent.clear()
        if tar.image_bytes <= REMEMBERED_BYTES:
            _recent[key] = tar
    return tar


class _Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def members(self) -> Sequence[Member]:
        files = (file.relative_to(self.root) for file in self.root.rglob("*") if file.is_file())
        return [Member(file.as_posix()) for file in files if _is_image(file.as_posix())]

    def read(self, member: Member) -> bytes:
        try:
            return (self.root / member.name).read_bytes()
        except OSError as error:
            raise InputError(
                f"{self.where(member)} cannot be read ({error.strerror}): check its permissions"
            ) from error

    def where(self, member: Member) -> str:
        return str(self.root / member.name)


class _Tar:
    """Read once, from front to back, and held: a compressed tar cannot be read image by image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images: dict[Member, bytes] = {}
        self.image_bytes = 0
        try:
            # Not the "r|*" of streams: that takes the end of a truncated file for the end of
            # the archive, and images would be missing without a word.
            with tarfile.open(path, "r:*") as tar:
                for info in tar:
                    member = Member(info.name.removeprefix("./"))
                    if not info.isreg() or not _is_image(member.name):
                        continue
                    self.image_bytes += info.size
                    if self.image_bytes > TAR_BYTES:
                        raise InputError(
                            f"{path} holds more than {TAR_BYTES >> 30} GiB of images: unpack it, "
                            "and name the folder with data.image_folder.path"
                        )
                    file = tar.extractfile(info)
                    assert file is not None  # a regular file has content
                    self._images[member] = file.read()
                _check_end(tar)
        except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            raise InputError(
                f"{path} cannot be read as a tar file ({error}): make it again, or name a folder "
                "with data.image_folder.path"
            ) from error

    def members(self) -> Sequence[Member]:
        return tuple(self._images)

    def read(self, member: Member) -> bytes:
        return self._images[member]

    def where(self, member: Member) -> str:
        return f"{member.name} in {self.path}"


def _check_end(tar: tarfile.TarFile) -> None:
    """A tar ends in blocks of zeros; tarfile also takes a file cut off between two members."""
    assert tar.fileobj is not None  # open for reading
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("unexpected end of data")


def _is_image(name: str) -> bool:
    parts = name.split("/")
    return name.lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in parts)
