"""Ways to a quantized ONNX graph besides the eager one, and what must hold of every one."""

import io
from typing import Any

import onnx
import torch
from torch import nn
from torch.ao.quantization import MinMaxObserver, QConfig, QConfigMapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig
from schemas.surgery import SurgeryConfig
from tasks.models.exporter import write_onnx
from tasks.models.pt2e.quantizer import Pt2eQuantizer
from tasks.surgery.lint import lint
from tasks.surgery.parity import prove
from tasks.surgery.repair import repair
from tests.surgery.conftest import Export, qconfig, to_onnx


def check(export: Export, target: Any = "tensorrt") -> onnx.ModelProto:
    """Bit-equal where promised, settled after one run, nothing left for the lint."""
    repaired, records = repair(export.model, target)
    report = prove(
        export.model, repaired, export.images, export.logits, target, SurgeryConfig(), records
    )
    assert report.gates[0].passed, report.gates[0].detail
    assert report.parity[0].bit_equal
    again, _ = repair(repaired, target)
    assert again.SerializeToString() == repaired.SerializeToString()
    assert lint(repaired, target).findings == ()
    assert list(repaired.graph.input) == list(export.model.graph.input)
    assert list(repaired.graph.output) == list(export.model.graph.output)
    return repaired


def fx(network: nn.Module, size: int) -> Export:
    torch.manual_seed(0)
    torch.backends.quantized.engine = "x86"
    images = torch.randn(4, 3, size, size)
    network.train()
    with torch.no_grad():
        network(images)
    # PyTorch has no weights per channel for ConvTranspose.
    whole = MinMaxObserver.with_args(
        dtype=torch.qint8, qscheme=torch.per_tensor_symmetric, quant_min=-127, quant_max=127
    )
    mapping = QConfigMapping().set_global(qconfig())
    mapping.set_object_type(
        nn.ConvTranspose2d, QConfig(activation=qconfig().activation, weight=whole)
    )
    prepared = prepare_fx(network.eval(), mapping, (images,))
    with torch.no_grad():
        float_logits = prepared(images).numpy()
    network = convert_fx(prepared)
    with torch.no_grad():
        logits = network(images).numpy()
    return Export(to_onnx(network, images), images.numpy(), logits, float_logits)


def pt2e(network: nn.Module, size: int, opset: int) -> Export:
    """PyTorch 2 Export quantization, written by the dynamo exporter."""
    torch.manual_seed(0)
    images = torch.randn(4, 3, size, size)
    network.train()
    with torch.no_grad():
        network(images)
    config = QuantizationConfig(mode="pt2e", observer="minmax")
    ways, model = Pt2eQuantizer(), network.eval()
    prepared = ways.prepare(model, config, images[:2])
    with torch.inference_mode():
        prepared(images)
    table = CalibrationTable(images=4, images_sha256="", tensors=ways.read_ranges(prepared))
    int8 = ways.convert_with_table(model, config, table, images[:2])
    file = io.BytesIO()
    write_onnx(int8, images[:2], file, ways.exporter, opset=opset, dynamic_batch=True)
    with torch.inference_mode():
        logits = int8(images).numpy()
    return Export(onnx.load_model_from_string(file.getvalue()), images.numpy(), logits)
