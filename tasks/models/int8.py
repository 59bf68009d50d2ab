"""The INT8 network, as every stage after conversion gets it."""

from pathlib import Path

import torch
from torch import nn

from schemas.convert import QuantizationConfig
from tasks.models.choose import choose, example_of
from tasks.models.quantizer import Exporter, quantizer
from tasks.models.quiet import quiet


def load_int8(
    float32: nn.Module,
    config: QuantizationConfig,
    state_file: Path,
    input_shape: tuple[int, int, int],
) -> tuple[nn.Module, Exporter]:
    """The INT8 network from the state that ``convert`` stored, and the exporter that reads it.

    ``input_shape`` is (C, H, W); ``config`` names the mode that calibration settled on.
    """
    example = example_of(input_shape)
    chosen = quantizer(choose(float32, config, example).mode)
    with quiet():
        state = torch.load(state_file, weights_only=True)
    return chosen.load_int8(float32, config, state, example), chosen.exporter
