"""Where and in what precision to train."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from schemas.errors import InputError
from schemas.train import TrainConfig


def choose_device(config: TrainConfig) -> torch.device:
    """The GPU where there is one and the job allows it, else the CPU.

    Raises InputError where the job demands a GPU and there is none.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise InputError(
            "train.device is cuda and torch sees no GPU: check the driver, or set it to cpu"
        )
    return torch.device("cuda" if config.device != "cpu" and available else "cpu")


def choose_precision(config: TrainConfig, device: torch.device) -> torch.dtype:
    """bfloat16 where it is native: emulated it is several times slower than float32."""
    if config.precision == "auto":
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bfloat16()
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if config.precision == "bfloat16" else torch.float32


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Convolutions and linear layers in ``precision``; nothing changes where that is float32.

    Weights are cast anew in each pass on a GPU: a recorded pass has to cast what the optimizer made
    of them.
    """
    enabled = precision != torch.float32
    return torch.autocast(
        device.type, precision, enabled=enabled, cache_enabled=device.type != "cuda"
    )


@contextmanager
def tuned(device: torch.device) -> Iterator[None]:
    """On a GPU, cuDNN measures its algorithms on the first batch: the batches are all alike."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def device_name(device: torch.device) -> str:
    """What the history calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {platform.machine()}, {torch.get_num_threads()} threads"


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
