"""From a PyTorch network to an ONNX file."""

from pathlib import Path

import torch
from torch import nn

from schemas.export import ExportConfig
from tasks.models.exporter import write_onnx
from tasks.models.quantizer import Exporter


def export_onnx(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    config: ExportConfig,
    file: Path,
    exporter: Exporter = "torchscript",
) -> None:
    """Write a network as ONNX: ``images`` float32[N, C, H, W] to ``logits`` float32[N, classes].

    ``input_shape`` is (C, H, W). Raises InputError, with the exporter's first line, where it
    refuses the network.
    """
    example = torch.zeros(config.batch_size, *input_shape)
    write_onnx(
        model,
        example,
        file,
        exporter,
        opset=config.opset,
        dynamic_batch=config.dynamic_batch,
    )
