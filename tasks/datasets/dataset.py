"""A split of labelled images, held as raw pixels and normalised batch by batch."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InputError
from tasks.progress import track

Indices = NDArray[np.int64]
Pixels = NDArray[np.uint8] | NDArray[np.float32]


class PixelReader(Protocol):
    """Where raw pixels come from: memory, or files decoded when asked for."""

    def __call__(self, indices: Indices, /) -> Pixels:
        """``uint8[n, C, H, W]`` (0..255) or ``float32[n, C, H, W]`` (the 0..1 scale)."""
        ...


class InMemory:
    """Pixels of a whole split: ``[N, C, H, W]``."""

    def __init__(self, pixels: Pixels) -> None:
        self.array = pixels

    def __call__(self, indices: Indices, /) -> Pixels:
        return self.array[indices]


class Remembered:
    """Decodes each image when it is first asked for, and keeps it: a calibration needs few.

    ``shape`` is (C, H, W); ``label`` names the work where all images are decoded at once.
    """

    def __init__(
        self, source: PixelReader, count: int, shape: tuple[int, int, int], label: str
    ) -> None:
        self.source = source
        self.label = label
        # Pages that are never written to take no memory.
        self._pixels: NDArray[np.uint8] = np.zeros((count, *shape), np.uint8)
        self._known = np.zeros(count, np.bool_)

    def __call__(self, indices: Indices, /) -> Pixels:
        self._decode(np.unique(indices))
        return self._pixels[indices]

    @property
    def array(self) -> Pixels:
        """All pixels, ``uint8[N, C, H, W]``."""
        unknown = np.flatnonzero(~self._known)
        starts = range(0, len(unknown), 256)
        for start in track(starts, self.label, len(starts)):
            self._decode(unknown[start : start + 256])
        return self._pixels

    def _decode(self, indices: Indices) -> None:
        missing = indices[~self._known[indices]]
        if len(missing):
            self._pixels[missing] = self.source(missing)
            self._known[missing] = True


@dataclass(frozen=True)
class Split:
    """A split as its source gives it, before any normalisation."""

    pixels: PixelReader
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Batch:
    """``images: float32[n, C, H, W]``, normalised, and ``labels: int64[n]``."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


class Dataset:
    """A split ready for a network.

    ``labels: int64[N]``; ``classes`` in label order; ``input_shape`` is (C, H, W).
    ``mean`` and ``std`` are ``float32[C, 1, 1]`` on the 0..1 scale.
    """

    def __init__(
        self, name: str, split: Split, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        self.name = name
        self.labels = split.labels
        self.classes = split.classes
        self.input_shape = split.shape
        self._pixels = split.pixels
        channels = split.shape[0]
        if len(mean) not in (1, channels):
            raise InputError(
                f"data.mean and data.std have {len(mean)} values, and the images of {name} "
                f"{channels} channels: give one value or {channels}"
            )
        self.mean = np.full((channels, 1, 1), 0, np.float32) + _per_channel(mean)
        self.std = np.full((channels, 1, 1), 0, np.float32) + _per_channel(std)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def in_memory(self) -> Pixels | None:
        """The raw pixels of all images, ``[N, C, H, W]``; None where they are too many to keep."""
        reader = self._pixels
        return reader.array if isinstance(reader, InMemory | Remembered) else None

    def pixels(self, indices: Indices) -> Pixels:
        """Raw pixels of the named images: ``uint8[n, C, H, W]``, or ``float32`` on the 0..1 scale.

        Raises InputError where an image cannot be decoded.
        """
        return self._pixels(np.asarray(indices, np.int64))

    def images(self, indices: Indices) -> NDArray[np.float32]:
        """Normalised images, as the network takes them: ``float32[n, C, H, W]``."""
        raw = self.pixels(indices)
        scale = np.float32(1 / 255) if raw.dtype == np.uint8 else np.float32(1)
        batch = raw.astype(np.float32)
        batch *= scale / self.std
        batch -= self.mean / self.std
        return batch

    def content_digests(self, indices: Indices) -> tuple[str, ...]:
        """SHA-256 of each image's raw pixels and shape: equal images have equal digests."""
        header = repr(self.input_shape).encode()
        return tuple(
            hashlib.sha256(header + np.ascontiguousarray(image).tobytes()).hexdigest()
            for start in range(0, len(indices), 256)
            for image in self.pixels(indices[start : start + 256])
        )

    def batches(
        self, size: int, indices: Indices | None = None, label: str | None = None
    ) -> Iterator[Batch]:
        """The named images, or all, in order and ``size`` at a time; the last batch may be short.

        With a ``label`` progress is shown.
        """
        chosen = np.arange(len(self), dtype=np.int64) if indices is None else indices
        starts = range(0, len(chosen), size)
        for start in starts if label is None else track(starts, label, len(starts)):
            part = chosen[start : start + size]
            yield Batch(self.images(part), self.labels[part])


def _per_channel(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32).reshape(-1, 1, 1)
