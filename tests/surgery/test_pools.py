"""Average pools and Resize: copying commutes with rounding, averaging wants both sides or none."""

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tasks.models.quiet import quiet
from tasks.surgery.lint import lint
from tasks.surgery.reference import ReferenceSession
from tasks.surgery.repair import repair
from tests.surgery.exporters import check, fx
from tests.surgery.qdq_builder import Builder, makers, named, sources


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


class Decoder(nn.Module):
    """Pools on the way down, Resize on the way up: one average, one copy of neighbours."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.up = nn.Upsample(scale_factor=2, mode=mode)
        self.out = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.up(self.deep(self.down(x))))


def only(model: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    (node,) = [node for node in model.graph.node if node.op_type == kind]
    return node


def readers(model: onnx.ModelProto, node: onnx.NodeProto) -> set[str]:
    return {x.op_type for x in model.graph.node if node.output[0] in x.input}


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_exports_with_pool_and_resize_have_integers_on_both_sides(mode: str) -> None:
    repaired = check(fx(Decoder(mode), 16))
    for kind in ("AveragePool", "Resize"):
        node = only(repaired, kind)
        assert sources(repaired, node.name) == ["DequantizeLinear"]
        assert readers(repaired, node) == {"QuantizeLinear"}


def resized(mode: str) -> onnx.ModelProto:
    """Conv, float Resize, and a quantizer behind it alone: how PyTorch 2 Export places it."""
    builder = Builder()
    conv = builder.conv(builder.pair("input", 0.05), 4, 4, "before")
    scales = builder.constant(np.array([1, 1, 2, 2], np.float32))
    up = builder.op("Resize", conv, "", scales, name="up", mode=mode)
    return builder.model(builder.conv(builder.pair(up, 0.2), 4, 4))


def test_a_quantizer_climbs_over_the_nearest_neighbour_and_keeps_every_bit() -> None:
    raw = resized("nearest")
    repaired, _ = repair(raw, "tensorrt")
    assert sources(repaired, "up") == ["DequantizeLinear"]
    images = np.random.default_rng(0).normal(size=(2, 4, 8, 8)).astype(np.float32)
    before, after = (ReferenceSession(x).logits(images) for x in (raw, repaired))
    assert np.array_equal(before, after)


def test_it_does_not_climb_over_a_linear_one_and_that_is_said() -> None:
    repaired, records = repair(resized("linear"), "tensorrt")
    assert sources(repaired, "up") == ["Conv"]
    (record,) = [r for r in records if r.name == "settle_pools"]
    assert [skip.node for skip in record.left_alone] == ["up"]


def pooled(*, behind: bool, shared: bool = False) -> onnx.ModelProto:
    builder = Builder()
    x = builder.op("Relu", builder.conv(builder.pair("input", 0.05), 4, 4))
    if behind:
        # Float in front, though another reader has the tensor quantized.
        pool = builder.op("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1], name="pool")
        other = builder.conv(builder.pair(x, 0.1), 4, 4, "other")
        last = builder.conv(builder.pair(pool, 0.1), 4, 4)
        return builder.model(
            builder.op("Concat", *(builder.op("GlobalMaxPool", y) for y in (other, last)), axis=1)
        )
    real = builder.pair(x, 0.1)
    pool = builder.op("AveragePool", real, kernel_shape=[8, 8], name="pool")
    if shared:
        pool = builder.op("Mul", pool, builder.conv(real, 4, 4))
    return builder.model(builder.op("Softmax", pool, axis=1))


def test_a_pool_that_nobody_quantizes_reads_float_on_tensorrt() -> None:
    raw = pooled(behind=False)
    assert "QDQ209" in {f.code for f in lint(raw, "tensorrt").findings}
    assert sources(repair(raw, "tensorrt")[0], "pool") == ["Relu"]
    # OpenVINO's kernel takes integers and gives floats.
    assert sources(repair(raw, "openvino")[0], "pool") == ["DequantizeLinear"]


def test_pairs_in_a_row_ahead_of_a_pool_all_go() -> None:
    builder = Builder()
    x = builder.op("Relu", builder.conv(builder.pair("input", 0.05), 4, 4))
    pool = builder.op("GlobalAveragePool", builder.pair(builder.pair(x, 0.1), 0.2), name="pool")
    raw = builder.model(builder.op("Softmax", pool, axis=1))
    assert sources(repair(raw, "tensorrt")[0], "pool") == ["Relu"]


def test_it_reads_integers_that_are_there_for_others_anyway() -> None:
    repaired, _ = repair(pooled(behind=False, shared=True), "tensorrt")
    assert sources(repaired, "pool") == ["DequantizeLinear"]


def test_a_pool_with_a_quantizer_behind_takes_the_one_its_input_has() -> None:
    raw = pooled(behind=True)
    assert "QDQ209" in {f.code for f in lint(raw, "tensorrt").findings}
    repaired, _ = repair(raw, "tensorrt")
    assert sources(repaired, "pool") == ["DequantizeLinear"]
    made = makers(repaired)
    assert named(repaired, "other").input[0] == named(repaired, "pool").input[0]
    assert made[named(repaired, "pool").input[0]].op_type == "DequantizeLinear"
    _, second = repair(repaired, "tensorrt")
    assert [record.name for record in second if record.changed] == []
