"""Ways to a quantized ONNX graph besides the eager one, and what must hold of every one."""

from typing import Any

import onnx
import torch
from torch import nn
from torch.ao.quantization import MinMaxObserver, QConfig, QConfigMapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from schemas.surgery import SurgeryConfig
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
        prepared(images)
    network = convert_fx(prepared)
    with torch.no_grad():
        logits = network(images).numpy()
    return Export(to_onnx(network, images), images.numpy(), logits)
