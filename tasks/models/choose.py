"""Which of PyTorch's quantization interfaces a network goes through."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.ao.quantization import QuantStub

from schemas.convert import QuantizationConfig, QuantizedMode


@dataclass(frozen=True)
class Choice:
    """A mode, and why in words."""

    mode: QuantizedMode
    reason: str


def example_of(input_shape: tuple[int, ...]) -> Tensor:
    """The example that quantizers get for images of (C, H, W): ``float32[2, C, H, W]``."""
    return torch.zeros(2, *input_shape)


def choose(model: nn.Module, config: QuantizationConfig, example: Tensor) -> Choice:
    """The mode that the job names or, where it leaves that open, the one that the network allows.

    The same network, config and example give the same choice.
    """
    if config.mode != "auto":
        return Choice(config.mode, f"quantization.mode is {config.mode}")
    return Choice("eager", "the network has QuantStubs and fuse_model")


def is_quantizable(model: nn.Module) -> bool:
    """Whether a network was written for eager mode: it has QuantStubs and ``fuse_model``."""
    stubs = any(isinstance(module, QuantStub) for module in model.modules())
    return stubs and callable(getattr(model, "fuse_model", None))
