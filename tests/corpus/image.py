"""Images with a fault, in a dataset and by themselves."""

import io
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.corpus.case import Given
from tests.corpus.job import dataset, job


def encoded(kind: str, mode: str = "RGB", size: int = 16) -> bytes:
    """A noisy image; 16 bits a channel where ``mode`` is ``I;16``."""
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 4), np.uint8)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(noise, "RGBA" if mode == "RGBA" else "CMYK").convert(mode)
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a few bytes that says it has 3.6 billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


def first(content: bytes, name: str = "0.png") -> tuple[Given, ...]:
    """A sound dataset whose first image is something else."""

    def give(folder: Path) -> None:
        place = folder / "data/train/cat"
        (place / "0.png").unlink()
        (place / name).write_bytes(content)

    return dataset(), give, job()


def removed(*places: str) -> tuple[Given, ...]:
    """A sound dataset without some of its folders."""

    def give(folder: Path) -> None:
        for place in places:
            for file in sorted((folder / "data" / place).rglob("*"), reverse=True):
                file.unlink() if file.is_file() else file.rmdir()
            (folder / "data" / place).rmdir()

    return dataset(), give, job()


def tar(keep: float = 1.0, content: bytes | None = None) -> tuple[Given, ...]:
    """A dataset in ``data.tar``, of which the first part is kept."""

    def give(folder: Path) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:gz") as packed:
            packed.add(folder / "data", ".")
        whole = content if content is not None else file.getvalue()
        (folder / "data.tar.gz").write_bytes(whole[: int(len(whole) * keep)])

    return dataset(), give, job(data={"image_folder": {"path": "data.tar.gz"}})


def loop(folder: Path) -> None:
    """An image that is a link to itself."""
    (folder / "data/train/cat/0.png").unlink()
    (folder / "data/train/cat/0.png").symlink_to("0.png")


def later(folder: Path) -> None:
    """An image that is only met when all are read is cut."""
    file = folder / "data/test/dog/3.png"
    file.write_bytes(file.read_bytes()[:60])
