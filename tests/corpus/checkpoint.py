"""Checkpoints with a fault: ``weights.safetensors`` and a job that names it."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from tests.corpus.case import Given
from tests.corpus.job import HERE, dataset, job, text
from tests.corpus.networks import Other, Small

NAME = "weights.safetensors"
Change = Callable[[dict[str, Tensor]], object]


def _job(name: str) -> tuple[Given, ...]:
    return dataset(), job(model={"factory": f"{HERE}:Small", "weights": name})


def checkpoint(change: Change) -> tuple[Given, ...]:
    """The sound network's state after ``change``."""
    torch.manual_seed(0)
    state = {name: tensor.clone() for name, tensor in Small().state_dict().items()}
    change(state)
    return (*_job(NAME), text(NAME, save(state)))


def of_bytes(content: bytes, name: str = NAME) -> tuple[Given, ...]:
    return (*_job(name), text(name, content))


def of_another() -> bytes:
    return save(Other().state_dict())


def cut(keep: float) -> bytes:
    whole = save(Small().state_dict())
    return whole[: int(len(whole) * keep)]


def headed(header: object, length: int | None = None, body: bytes = b"") -> bytes:
    """A file of that header, which says that it is ``length`` bytes long."""
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(written) if length is None else length) + written + body


def pickled(name: str) -> tuple[Given, ...]:
    """A pickle that makes a file when it is read."""

    def give(folder: Path) -> None:
        torch.save({"conv.weight": _Runs("touch ran")}, folder / name)

    return (*_job(name), give)


class _Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)
