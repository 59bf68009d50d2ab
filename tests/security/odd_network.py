"""A network whose every name is an attack on who shows it, and images in classes named so too."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import nn

ATTACK = "<img src=x onerror='taken=1'>"
CLOSING = "</script><script>taken=1<"
"""Module names may hold anything but a dot; class folders anything but a slash."""


class Odd(nn.Module):
    """Two convolutions and a classifier for 16x16 images."""

    def __init__(self, note: str = "") -> None:
        super().__init__()
        self.note = note
        self.add_module(ATTACK, nn.Conv2d(3, 8, 3, padding=1))
        self.add_module(CLOSING, nn.Conv2d(8, 8, 3, padding=1))
        self.fc = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in (ATTACK, CLOSING):
            x = torch.relu(cast(nn.Module, getattr(self, name))(x))
        return cast(torch.Tensor, self.fc(x.mean((2, 3))))


def odd_images(root: Path) -> Path:
    """A few noisy images in two classes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 24)):
        for place, name in enumerate((ATTACK, "a \"b\"; {name: 'c'} & <d>")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 128, (16, 16, 3)) + 100 * place
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02}.png")
    return root


def odd_job(images: Path, **changes: Any) -> dict[str, Any]:
    """The job that quantizes it; no gate asks for accuracy of random weights."""
    return {
        "name": "odd",
        "model": {
            "factory": "tests.security.odd_network:Odd",
            "kwargs": {"note": f"{ATTACK}{CLOSING}"},
            "pretrained": True,
        },
        "data": {"image_folder": {"path": str(images)}},
        "calibration": {"images": 16, "batch_size": 8},
        "export": {"parity_images": 4},
        "engines": {"openvino": {}},
        "accuracy": {"images": 48, "max_drop_points": 100.0},
        "profile": {"rounds": 2, "calls": 2, "warmup_calls": 1, "threads": [1], "reuse": True},
        "publish": {},
        **changes,
    }
