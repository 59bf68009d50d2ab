"""PyTorch's two ONNX exporters behind one call."""

from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn

from schemas.errors import InputError, cause
from tasks.models.quantizer import Exporter
from tasks.models.quiet import quiet

INPUT_NAME = "images"
OUTPUT_NAME = "logits"
DYNAMO_LEAST_OPSET = 18


def write_onnx(
    model: nn.Module,
    example: Tensor,
    file: Path | BytesIO,
    exporter: Exporter,
    *,
    opset: int,
    dynamic_batch: bool,
) -> None:
    """Write a network as ONNX: ``images`` float32[N, C, H, W] to ``logits`` float32[N, classes].

    ``example`` is float32[N, C, H, W]; N is fixed in the graph unless ``dynamic_batch``. The
    TorchScript exporter is the one that reads integer modules, the other is built on torch.export
    and writes opset 18 at least. Raises InputError, with the exporter's first line, where it
    refuses the network.
    """
    try:
        with quiet(), torch.inference_mode(exporter == "torchscript"), torch.no_grad():
            if exporter == "torchscript":
                model.eval()
                _by_torchscript(model, example, file, opset, dynamic_batch)
            else:
                _by_dynamo(model, example, file, max(opset, DYNAMO_LEAST_OPSET), dynamic_batch)
    except Exception as error:
        raise InputError(
            f"export: {type(model).__name__} does not export at opset {opset} by the {exporter} "
            f"exporter ({cause(error)}): choose another export.opset, or another quantization.mode"
        ) from error


def _by_torchscript(
    model: nn.Module, example: Tensor, file: Path | BytesIO, opset: int, dynamic_batch: bool
) -> None:
    open_batch = {INPUT_NAME: {0: "batch"}, OUTPUT_NAME: {0: "batch"}}
    torch.onnx.export(
        model,
        (example,),
        file,  # type: ignore[arg-type]  # that exporter writes to a buffer, too
        dynamo=False,
        opset_version=opset,
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
        dynamic_axes=open_batch if dynamic_batch else None,
    )


def _by_dynamo(
    model: nn.Module, example: Tensor, file: Path | BytesIO, opset: int, dynamic_batch: bool
) -> None:
    # A batch of one would be taken for a constant.
    traced = example.expand(2, *example.shape[1:]).clone() if dynamic_batch else example
    batch = ({0: torch.export.Dim("batch")},) if dynamic_batch else None
    program = torch.onnx.export(
        model,
        (traced,),
        dynamo=True,
        opset_version=opset,
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
        dynamic_shapes=batch,
        verbose=False,
    )
    assert program is not None  # the exporter raises where it has nothing to return
    data = program.model_proto.SerializeToString()
    if isinstance(file, Path):
        file.write_bytes(data)
    else:
        file.write(data)
