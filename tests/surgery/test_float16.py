"""INT8 with float16 for the rest: strongly typed, scales included."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tasks.surgery.passes.integer_weights import quantize
from tasks.surgery.quantizers import Grid
from tasks.surgery.reference import ReferenceSession
from tasks.surgery.repair import repair
from tests.surgery.qdq_builder import Builder, makers


def repaired(model: onnx.ModelProto) -> onnx.ModelProto:
    return repair(model, "tensorrt", "int8+fp16")[0]


def test_constants_are_float16_and_only_the_first_scale_stays_float32(resnet18: Any) -> None:
    graph = repaired(resnet18.model)
    wide = [x.name for x in graph.graph.initializer if x.data_type == onnx.TensorProto.FLOAT]
    first = next(n for n in graph.graph.node if n.op_type == "QuantizeLinear")
    assert first.input[0] == "input"
    assert wide == [first.input[1]]


def test_inputs_and_outputs_stay_float32(resnet18: Any) -> None:
    graph = repaired(resnet18.model)
    assert list(graph.graph.input) == list(resnet18.model.graph.input)
    assert list(graph.graph.output) == list(resnet18.model.graph.output)
    assert makers(graph)["logits"].op_type == "Cast"


def test_the_opset_has_float16_scales(resnet18: Any) -> None:
    assert resnet18.model.opset_import[0].version == 17
    assert repaired(resnet18.model).opset_import[0].version == 19


def test_it_computes_nearly_the_same(resnet18: Any) -> None:
    int8 = ReferenceSession(repair(resnet18.model, "tensorrt")[0]).logits(resnet18.images)
    half = ReferenceSession(repaired(resnet18.model)).logits(resnet18.images)
    assert np.abs(half - int8).max() < 0.15 * np.abs(int8).max()


def test_a_product_on_a_scale_too_small_for_float16_stays_float32() -> None:
    builder = Builder()
    small = builder.conv(builder.pair("input", 1e-6), 4, 4, "small")
    model = builder.model(builder.conv(builder.pair(small, 0.1), 4, 4, "large"))
    graph = repaired(model)
    values = {x.name: numpy_helper.to_array(x) for x in graph.graph.initializer}
    made = makers(graph)
    types = {
        node.name: [values[made[x].input[1]].dtype for x in node.input[:2]]
        for node in graph.graph.node
        if node.op_type == "Conv"
    }
    assert types["small"] == [np.float32, np.float32]
    assert types["large"] == [np.float16, np.float16]


@pytest.mark.parametrize("between", [(), ("Cast",)], ids=["straight", "cast"])
def test_what_takes_only_float32_is_given_it(between: tuple[str, ...]) -> None:
    """NonMaxSuppression has no float16 form, and what a Cast gives it others may read."""
    builder = Builder()
    scores = builder.conv(builder.pair("input", 0.05), 4, 4)
    for cast in between:
        scores = builder.op(cast, scores, to=onnx.TensorProto.FLOAT)
    flat = builder.op("Reshape", scores, builder.constant(np.array([1, 4, -1], np.int64)))
    boxes = builder.op("Reshape", flat, builder.constant(np.array([1, -1, 4], np.int64)))
    limit = builder.constant(np.array([9], np.int64))
    chosen = builder.op("NonMaxSuppression", boxes, flat, limit, name="choose")
    graph = repaired(builder.model(builder.op("Cast", chosen, to=onnx.TensorProto.FLOAT)))
    made = makers(graph)
    choose = next(node for node in graph.graph.node if node.name == "choose")
    assert [made[x].op_type for x in choose.input[:2]] == ["Cast", "Cast"]
    images = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)
    assert ReferenceSession(graph).logits(images).size


def test_an_identity_matrix_becomes_float16_and_a_range_of_floats_stops_the_pass() -> None:
    def added(builder: Builder, matrix: str) -> onnx.ModelProto:
        conv = builder.conv(builder.pair("input", 0.05), 4, 4)
        model: onnx.ModelProto = builder.model(builder.op("Add", conv, matrix))
        return model

    builder = Builder()
    square = builder.constant(np.zeros((8, 8), np.int64))
    eye = builder.op("EyeLike", square, dtype=onnx.TensorProto.FLOAT)
    graph = repaired(added(builder, eye))
    assert makers(graph)["logits"].op_type == "Cast"
    builder = Builder()
    bounds = [builder.constant(np.float32(x)) for x in (0, 8, 1)]
    _, records = repair(added(builder, builder.op("Range", *bounds)), "tensorrt", "int8+fp16")
    assert records[-1].skipped
    assert "no float16 form" in records[-1].summary


def float16_classifier() -> onnx.ModelProto:
    """All of it float16, the weights quantized in the graph, as Model Optimizer writes them."""
    builder = Builder(seed=1)

    def half(values: Any) -> str:
        return builder.constant(np.asarray(values, np.float16))

    def pair(tensor: str, scale: float) -> str:
        grid = half(scale), builder.constant(np.int8(0))
        return builder.op("DequantizeLinear", builder.op("QuantizeLinear", tensor, *grid), *grid)

    x = pair(builder.op("Cast", "input", to=onnx.TensorProto.FLOAT16), 0.05)
    conv = builder.op("Conv", x, pair(half(builder.random.normal(size=(8, 4, 3, 3))), 0.0231))
    flat = builder.op("Flatten", builder.op("GlobalAveragePool", pair(conv, 0.1)))
    weights = pair(half(builder.random.normal(size=(8, 5))), 0.0231)
    head = builder.op("Gemm", pair(flat, 0.1), weights)
    builder.nodes.append(onnx.helper.make_node("Cast", [head], ["wide"], to=1))
    model: onnx.ModelProto = builder.model("wide", opset=19)
    del model.graph.node[-2:]
    model.graph.node[-1].output[0] = "logits"
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.checker.check_model(model, full_check=True)
    return model


def test_a_float16_classifier_behind_a_pool_stays_float16() -> None:
    graph = repair(float16_classifier(), "tensorrt")[0]
    gemm = next(node for node in graph.graph.node if node.op_type == "Gemm")
    stored = next(x for x in graph.graph.initializer if x.name == gemm.input[1])
    assert stored.data_type == onnx.TensorProto.FLOAT16


def test_float16_weights_are_quantized_as_onnx_runtime_does() -> None:
    builder = Builder()
    scale, zero = builder.constant(np.float16(0.0231)), builder.constant(np.int8(0))
    real = np.random.default_rng(0).normal(size=(64, 4, 8, 8)).astype(np.float16)
    half = builder.op("Cast", "input", to=onnx.TensorProto.FLOAT16)
    integers = builder.op("QuantizeLinear", half, scale, zero)
    wide = builder.op("Cast", integers, to=onnx.TensorProto.FLOAT)
    theirs = ReferenceSession(builder.model(wide, opset=19)).run(real.astype(np.float32))
    grid = Grid(np.array(0.0231, np.float16), np.array(0, np.int8), axis=0)
    assert np.array_equal(quantize(real, grid), theirs["logits"])


@pytest.mark.parametrize("opset", [13, 19, 21])
def test_every_opset_is_raised_or_kept(opset: int) -> None:
    builder = Builder()
    model = builder.model(builder.conv(builder.pair("input", 0.1), 4, 4), opset=opset)
    assert repaired(model).opset_import[0].version == max(19, opset)
