"""The INT8 network as a state dict, and which module became what."""

import io

import torch
from torch import nn

from schemas.calibrate import CalibrationTable
from schemas.convert import ConvertSummary, QuantizationConfig, QuantizedModule
from tasks.models.eager import convert_with_table, quiet


def quantize(
    model: nn.Module, config: QuantizationConfig, table: CalibrationTable
) -> tuple[bytes, ConvertSummary]:
    """The INT8 network's state dict in PyTorch's file format, and a table of its modules.

    The state holds tensors only, so ``torch.load(weights_only=True)`` reads it.
    """
    int8 = convert_with_table(model, config, table)
    buffer = io.BytesIO()
    with quiet():
        torch.save(int8.state_dict(), buffer)
    return buffer.getvalue(), summarize(int8, table)


def summarize(int8: nn.Module, table: CalibrationTable) -> ConvertSummary:
    """Every leaf module of an INT8 network with its kernel and its output grid."""
    modules = []
    for name, module in int8.named_modules():
        if any(True for _ in module.children()) or isinstance(module, nn.Identity):
            continue
        quantized = type(module).__module__.startswith("torch.ao.nn")
        seen = table.tensors.get(f"{name}.activation_post_process")
        modules.append(
            QuantizedModule(
                name=name,
                kind=type(module).__name__,
                quantized=quantized,
                scale=seen.scale if seen else None,
            )
        )
    return ConvertSummary(modules=tuple(modules))
