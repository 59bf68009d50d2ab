"""From a PyTorch network to an ONNX file."""

from pathlib import Path

import torch
from torch import nn

from schemas.errors import InputError
from schemas.export import ExportConfig
from tasks.models.eager import quiet

INPUT_NAME = "images"
OUTPUT_NAME = "logits"


def export_onnx(
    model: nn.Module, input_shape: tuple[int, int, int], config: ExportConfig, file: Path
) -> None:
    """Write a network as ONNX: ``images`` float32[N, C, H, W] to ``logits`` float32[N, classes].

    ``input_shape`` is (C, H, W). The exporter is the TorchScript one: the one built on torch.export
    fails on eager-quantized modules. Raises InputError, with the exporter's first line, where it
    refuses the network.
    """
    example = torch.zeros(config.batch_size, *input_shape)
    open_batch = {INPUT_NAME: {0: "batch"}, OUTPUT_NAME: {0: "batch"}}
    try:
        with quiet(), torch.inference_mode():
            torch.onnx.export(
                model.eval(),
                (example,),
                str(file),
                dynamo=False,
                opset_version=config.opset,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_axes=open_batch if config.dynamic_batch else None,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise InputError(
            f"export: {type(model).__name__} does not export at opset {config.opset}: "
            f"{first_line}; try another export.opset"
        ) from error
