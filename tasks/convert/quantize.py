"""The INT8 network's state, and which module became what."""

import io

import torch
from torch import Tensor, nn

from schemas.calibrate import CalibrationTable
from schemas.convert import ConvertSummary, QuantizationConfig
from tasks.models.choose import choose
from tasks.models.quantizer import quantizer
from tasks.models.quiet import quiet


def quantize(
    model: nn.Module,
    config: QuantizationConfig,
    table: CalibrationTable,
    example: Tensor,
    reason: str = "",
) -> tuple[bytes, ConvertSummary]:
    """The INT8 network's state in PyTorch's file format, and a table of its modules.

    ``torch.load(weights_only=True)`` reads the state. ``example`` is float32[2, C, H, W], and
    ``reason`` why the mode is what it is.
    """
    chosen = quantizer(choose(model, config, example).mode)
    int8 = chosen.convert_with_table(model, config, table, example)
    buffer = io.BytesIO()
    with quiet():
        torch.save(chosen.int8_state(int8), buffer)
    modules = chosen.explain(model, config, table, example)
    summary = ConvertSummary(modules=modules, mode=chosen.mode, reason=reason)
    return buffer.getvalue(), summary
