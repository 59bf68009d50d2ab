"""Every way PyTorch exports a quantized network, and graphs that other quantizers made."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import numpy_helper
from torch.ao.quantization import (
    FakeQuantize,
    MovingAverageMinMaxObserver,
    QConfig,
    convert,
    default_per_channel_weight_fake_quant,
    prepare_qat,
)
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.quantization.resnet import QuantizableBasicBlock, QuantizableResNet

from benchmarks.zoo_networks import UNet
from tasks.models.quiet import quiet
from tasks.surgery.intake import opset_of
from tasks.surgery.repair import repair
from tests.surgery.conftest import Export, quantize_eagerly, to_onnx
from tests.surgery.exporters import check, fx, pt2e
from tests.surgery.qdq_builder import Builder, named, sources


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


def eager(opset: int, *, dynamic: bool) -> Export:
    torch.manual_seed(0)
    images = torch.randn(4, 3, 32, 32)
    network = QuantizableResNet(QuantizableBasicBlock, [1, 1, 1, 1], num_classes=10)
    network = quantize_eagerly(network, images)
    with torch.no_grad():
        logits = network(images).numpy()
    return Export(to_onnx(network, images, opset=opset, dynamic=dynamic), images.numpy(), logits)


@pytest.mark.parametrize(
    ("opset", "dynamic"),
    [(13, True), (14, False), (15, True), (16, False), (18, False), (20, True)],
)
def test_eager_exports_of_every_opset_with_open_and_fixed_batch(opset: int, dynamic: bool) -> None:
    repaired = check(eager(opset, dynamic=dynamic))
    batch = repaired.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param == ("batch" if dynamic else "")


def three_blocks() -> MobileNetV3:
    """Of MobileNetV3: ReLU, hard swish, squeeze-and-excite and a residual Add."""
    blocks = [
        InvertedResidualConfig(16, 3, 16, 16, True, "RE", 2, 1, 1.0),
        InvertedResidualConfig(16, 5, 96, 40, True, "HS", 2, 1, 1.0),
        InvertedResidualConfig(40, 5, 240, 40, True, "HS", 1, 1, 1.0),
    ]
    return MobileNetV3(blocks, last_channel=64, num_classes=10)


@pytest.mark.parametrize(
    "opset", [18, 21, *(pytest.param(x, marks=pytest.mark.thorough) for x in (19, 23))]
)
def test_dynamo_exports_of_every_opset(opset: int) -> None:
    export = pt2e(three_blocks(), 32, opset)
    assert opset_of(export.model) == opset
    for target in ("tensorrt", "openvino"):
        repaired = check(export, target)
        assert opset_of(repaired) == opset
    mixed, records = repair(export.model, "tensorrt", "int8+fp16")
    assert not next(r for r in records if r.name == "half_rest").skipped
    assert opset_of(mixed) == max(opset, 19)


@pytest.mark.parametrize("target", ["tensorrt", "openvino"])
def test_an_fx_export_of_a_unet_with_conv_transpose_and_concat(target: str) -> None:
    repaired = check(fx(UNet(), 16), target)
    assert {"ConvTranspose", "Concat"} <= {node.op_type for node in repaired.graph.node}


def test_an_fx_export_with_squeeze_and_excite_and_hard_swish() -> None:
    check(fx(torchvision.models.mobilenet_v3_small(weights=None), 32))


def test_a_qat_export_whose_zero_points_are_127() -> None:
    torch.manual_seed(0)
    torch.backends.quantized.engine = "x86"
    network = torchvision.models.quantization.resnet18(weights=None, quantize=False).train()
    network.fuse_model(is_qat=True)
    network.qconfig = QConfig(  # type: ignore[assignment]
        activation=FakeQuantize.with_args(
            observer=MovingAverageMinMaxObserver,
            quant_min=0,
            quant_max=255,
            dtype=torch.quint8,
            qscheme=torch.per_tensor_symmetric,
        ),
        weight=default_per_channel_weight_fake_quant,
    )
    prepare_qat(network, inplace=True)
    images = torch.randn(4, 3, 32, 32)
    network(images)
    network.eval()
    convert(network, inplace=True)
    with torch.no_grad():
        logits = network(images).numpy()
    model = to_onnx(network, images)
    repaired = check(Export(model, images.numpy(), logits))
    points = {
        int(numpy_helper.to_array(x))
        for x in repaired.graph.initializer
        if x.name.endswith("zero_point") and not x.dims
    }
    assert points == {0}


def modelopt_like() -> onnx.ModelProto:
    """Float weights behind Q and DQ, convs float into Adds: what Model Optimizer and NNCF write."""
    builder = Builder()

    def conv(tensor: str, name: str) -> str:
        weights = builder.constant(builder.random.uniform(-2, 2, (4, 4, 3, 3)).astype(np.float32))
        scale = builder.constant(np.full(4, 0.02, np.float32))
        zero = builder.constant(np.zeros(4, np.int8))
        integers = builder.op("QuantizeLinear", weights, scale, zero, axis=0)
        real = builder.op("DequantizeLinear", integers, scale, zero, axis=0)
        bias = builder.constant(np.ones(4, np.float32))
        return builder.op("Conv", tensor, real, bias, name=name, pads=[1, 1, 1, 1])

    x = builder.pair(builder.op("Relu", conv(builder.pair("input", 0.05), "first")), 0.1)
    added = builder.op("Add", conv(x, "main"), x, name="add")
    return builder.model(conv(builder.pair(builder.op("Relu", added), 0.2), "last"))


@pytest.mark.parametrize("target", ["tensorrt", "openvino"])
def test_what_other_quantizers_placed_well_stays_where_it_is(target: Any) -> None:
    model = modelopt_like()
    repaired, records = repair(model, target)
    changed = {r.name for r in records if r.changed}
    assert changed <= {"integer_weights", "unsigned_activations"}
    assert sorted(sources(repaired, "add")) == sorted(sources(model, "add"))
    values = {x.name: numpy_helper.to_array(x) for x in repaired.graph.initializer}
    weights = next(
        n for n in repaired.graph.node if n.output[0] == named(repaired, "main").input[1]
    )
    assert values[weights.input[0]].dtype == np.int8
