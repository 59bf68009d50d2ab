"""Images as ``<split>/<class>/<name>``, in a folder or inside a tar file."""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from schemas.calibrate import Split as SplitName
from schemas.data import ImageFolder
from schemas.errors import InputError
from tasks.datasets.container import Container, Member, open_container
from tasks.datasets.dataset import Indices, PixelReader, Remembered, Split
from tasks.datasets.depth import converted
from tasks.datasets.resize import Resize

IN_MEMORY_BYTES = 1 << 30
"""Up to this many bytes of pixels a split are kept once decoded; above, none are."""


@dataclass(frozen=True)
class Listing:
    """The images of one split, by class and then by name; that order is the order of indices."""

    members: tuple[Member, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Decoder:
    """Encoded bytes to ``uint8[C, H, W]``."""

    mode: str
    resize: Resize | None

    def __call__(self, data: bytes, where: str) -> NDArray[np.uint8]:
        try:
            with Image.open(io.BytesIO(data)) as encoded:
                image = converted(encoded, self.mode)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(
                f"{where} cannot be decoded ({error}): replace or remove it"
            ) from error
        if self.resize is not None:
            image = self.resize.image(image)
        pixels = np.asarray(image)
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def load(config: ImageFolder, split: SplitName, resize: Resize | None) -> Split:
    """One split, each image decoded, and resized if told to, when it is first asked for.

    Raises InputError where the path, the split or the classes are not as they should be, and from
    the reader where an image is not.
    """
    container = open_container(config.path)
    listing = list_split(container, config, split)
    decode = Decoder(config.mode, resize)
    reference = _reference(container, listing, decode)
    reader: PixelReader = _Files(container, listing, decode, reference)
    if len(listing.members) * int(np.prod(reference.shape)) <= IN_MEMORY_BYTES:
        reader = Remembered(reader, len(listing.members), reference.shape, f"decoding {split}")
    return Split(reader, listing.labels, listing.classes, reference.shape)


def list_split(container: Container, config: ImageFolder, split: SplitName) -> Listing:
    """The images of a split, and its classes checked against the configured or other split's."""
    folder = {"train": config.train, "test": config.test}[split].strip("/")
    depth = folder.count("/") + 1
    by_class: dict[str, list[Member]] = {}
    for member in container.members():
        parts = member.name.split("/")
        if member.name.startswith(folder + "/") and len(parts) > depth + 1:
            by_class.setdefault(parts[depth], []).append(member)
    if not by_class:
        raise InputError(
            f"{config.path} has no images in {folder}/<class>/: pack it so, or name its folder "
            f"with data.image_folder.{split}"
        )
    classes = config.classes or tuple(sorted(by_class))
    if set(classes) != set(by_class):
        missing = ", ".join(sorted(set(classes) - set(by_class))) or "none"
        extra = ", ".join(sorted(set(by_class) - set(classes))) or "none"
        raise InputError(
            f"{config.path}: the class folders of {folder} are not those of "
            f"data.image_folder.classes (missing: {missing}; unexpected: {extra}): correct either"
        )
    ordered = [m for name in classes for m in sorted(by_class[name], key=lambda m: m.name)]
    labels = np.repeat(np.arange(len(classes)), [len(by_class[name]) for name in classes])
    return Listing(tuple(ordered), labels.astype(np.int64), classes)


def first_shape(container: Container, listing: Listing, decode: Decoder) -> tuple[int, int, int]:
    """(C, H, W) of a split's images, read from the first."""
    return _reference(container, listing, decode).shape


def both_listings(config: ImageFolder) -> tuple[Container, Listing, Listing]:
    """Train and test, with the same classes. Raises InputError where they differ."""
    container = open_container(config.path)
    train, test = (list_split(container, config, split) for split in ("train", "test"))
    if train.classes != test.classes:
        only = sorted(set(train.classes) ^ set(test.classes))
        raise InputError(
            f"{config.path}: {config.train} and {config.test} do not have the same class folders "
            f"({', '.join(only)} in one only): correct it"
        )
    return container, train, test


def content_sha256(container: Container, listings: tuple[Listing, ...]) -> str:
    """Digest of every encoded image and its class, in order of indices.

    A folder and a tar of the same images have the same digest, wherever they lie.
    """
    total = hashlib.sha256()
    for listing in listings:
        total.update(repr((listing.classes, len(listing.members))).encode())
        total.update(listing.labels.tobytes())
        for member in listing.members:
            total.update(hashlib.sha256(container.read(member)).digest())
    return total.hexdigest()


@dataclass(frozen=True)
class _Reference:
    """The image whose shape all others must have."""

    shape: tuple[int, int, int]
    where: str

    def check(self, pixels: NDArray[np.uint8], where: str) -> NDArray[np.uint8]:
        if pixels.shape != self.shape:
            raise InputError(
                f"{where} is {pixels.shape[1]}x{pixels.shape[2]} pixels, and {self.where} "
                f"{self.shape[1]}x{self.shape[2]}: resize all with data.image_size [height, width]"
            )
        return pixels


def _reference(container: Container, listing: Listing, decode: Decoder) -> _Reference:
    member = listing.members[0]
    where = container.where(member)
    channels, height, width = decode(container.read(member), where).shape
    return _Reference((channels, height, width), where)


class _Files:
    """Decodes images when they are asked for."""

    def __init__(
        self, container: Container, listing: Listing, decode: Decoder, reference: _Reference
    ) -> None:
        self.container = container
        self.members = listing.members
        self.decode = decode
        self.reference = reference

    def __call__(self, indices: Indices, /) -> NDArray[np.uint8]:
        pixels = np.empty((len(indices), *self.reference.shape), np.uint8)
        for row, index in enumerate(indices):
            member = self.members[index]
            where = self.container.where(member)
            image = self.decode(self.container.read(member), where)
            pixels[row] = self.reference.check(image, where)
        return pixels
