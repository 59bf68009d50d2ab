"""Graphs as other tools and older exporters write them, small enough to read."""

from typing import Any

import numpy as np
import onnx
import pytest

from tasks.surgery.lint import lint
from tasks.surgery.reference import ReferenceSession
from tasks.surgery.repair import repair
from tests.surgery.qdq_builder import Builder, makers, named, repaired, sources


def test_mislabelled_qint8_exports_compute_what_the_network_did() -> None:
    """Older PyTorch: the first quantizer int8, the others uint8 with zero-point 0 behind Casts."""
    meant = Builder(np.int8(0), seed=3)
    written = Builder(np.uint8(0), casts=True, seed=3)

    def network(builder: Builder) -> Any:
        kind, builder.zero_point = builder.zero_point, np.int8(0)
        first = builder.pair("input", 0.05)
        builder.zero_point = kind
        inner = builder.pair(builder.conv(first, 4, 4), 0.2)
        return builder.model(builder.pair(builder.conv(inner, 4, 4), 0.5))

    images = np.random.default_rng(0).normal(size=(4, 4, 8, 8)).astype(np.float32)
    truth = ReferenceSession(network(meant)).logits(images)
    raw = network(written)
    wrong = ReferenceSession(raw).logits(images)
    right = ReferenceSession(repaired(raw, "onnxruntime")).logits(images)
    assert not np.array_equal(wrong, truth)
    assert np.array_equal(right, truth)


@pytest.mark.parametrize("target", ["tensorrt", "openvino", "onnxruntime"])
def test_a_relu_that_only_a_quantizer_computes_survives_it(target: Any) -> None:
    """ONNX Runtime's own tools write Conv, Add and ReLU so; surgery moves such quantizers."""
    builder = Builder()
    x = builder.pair("input", 0.05)
    builder.zero_point = np.uint8(0)
    skip = builder.pair(builder.conv(x, 4, 4), 0.05)
    main = builder.pair(builder.conv(skip, 4, 4), 0.2)
    added = builder.pair(builder.op("Add", main, skip), 0.2)
    model = builder.model(builder.conv(added, 4, 4))
    images = np.random.default_rng(0).normal(size=(4, 4, 8, 8)).astype(np.float32)
    graph = repaired(model, target)
    assert [node.op_type for node in graph.graph.node].count("Relu") == 2
    before, after = (ReferenceSession(each).logits(images) for each in (model, graph))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.999
    assert repaired(graph, target).SerializeToString() == graph.SerializeToString()


def in_a_function(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The graph with a pair of quantizers and a Conv as the body of a function of its own."""
    made = makers(model)
    conv = named(model, name)
    body, pending = [conv], list(conv.input)
    while pending:
        node = made.get(pending.pop())
        if node is not None:
            body.insert(0, node)
            pending.extend(node.input)
    read = [x for node in body for x in node.input if x not in made]
    given = sorted({*read} - {y for node in body for y in node.output})
    function = onnx.helper.make_function(
        "acme", "Block", given, list(conv.output), body, list(model.opset_import)
    )
    call = onnx.helper.make_node("Block", given, list(conv.output), name="call", domain="acme")
    rest = [node for node in model.graph.node if node not in body]
    del model.graph.node[:]
    model.graph.node.extend([call, *rest])
    model.functions.append(function)
    model.opset_import.append(onnx.helper.make_opsetid("acme", 1))
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize("precision", ["int8", "int8+fp16"])
def test_quantizers_in_local_functions_are_seen_and_repaired(precision: Any) -> None:
    builder = Builder(np.uint8(128))
    model = builder.model(builder.conv(builder.pair("input", 0.05), 4, 4, "inside"))
    called = in_a_function(model, "inside")
    assert {x.code for x in lint(called, "tensorrt").findings} >= {"QDQ103", "QDQ104"}
    graph, _ = repair(called, "tensorrt", precision)
    assert not graph.functions
    assert lint(graph, "tensorrt").findings == ()
    images = np.random.default_rng(0).normal(size=(4, 4, 8, 8)).astype(np.float32)
    before, after = (ReferenceSession(each).logits(images) for each in (called, graph))
    assert np.allclose(before, after, atol=0 if precision == "int8" else 0.02)


@pytest.mark.parametrize(("target", "relus"), [("tensorrt", 1), ("openvino", 0)])
def test_behind_an_unsigned_quantizer_nothing_is_left_to_cut_off(target: Any, relus: int) -> None:
    """The graph's input may be negative, what its quantizer writes may not."""
    builder = Builder(np.uint8(0))
    pooled = builder.op("MaxPool", builder.pair("input", 0.05), kernel_shape=[2, 2])
    model = builder.model(builder.conv(builder.pair(pooled, 0.05), 4, 4))
    images = np.random.default_rng(0).normal(size=(4, 4, 8, 8)).astype(np.float32)
    graph = repaired(model, target)
    assert [node.op_type for node in graph.graph.node].count("Relu") == relus
    before, after = (ReferenceSession(each).logits(images) for each in (model, graph))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.999


def test_unsigned_and_signed_integers_are_joined_as_the_quantizer_behind_writes_them() -> None:
    """As FX mode exports GoogLeNet, whose ranges behind ReLU begin at 0; types are checked."""
    builder = Builder(np.uint8(0))
    x = builder.pair(builder.op("Relu", builder.conv(builder.pair("input", 0.05), 4, 4)), 0.05)
    builder.zero_point = np.int8(0)
    y = builder.pair(builder.conv(builder.pair("input", 0.05), 4, 4), 0.08)
    joined = builder.pair(builder.op("Concat", x, y, axis=1, name="concat"), 0.1)
    model = builder.model(builder.conv(joined, 8, 4))
    images = np.random.default_rng(0).normal(size=(4, 4, 8, 8)).astype(np.float32)
    graph = repaired(model)
    onnx.checker.check_model(graph, full_check=True)
    before, after = (ReferenceSession(each).logits(images) for each in (model, graph))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.99


def test_behind_a_concat_of_one_grid_convolutions_read_a_dequantizer_for_tensorrt() -> None:
    """As NNCF writes GoogLeNet: nothing between Concat, MaxPool and the convolutions."""
    builder = Builder()
    x = builder.pair("input", 0.05)
    left, right = (builder.pair(builder.conv(x, 4, 4), 0.1) for _ in range(2))
    joined = builder.op("Concat", left, right, axis=1)
    pooled = builder.op("MaxPool", joined, kernel_shape=[3, 3], pads=[1] * 4)
    pooled = builder.op("MaxPool", pooled, kernel_shape=[3, 3], pads=[1] * 4)
    near, far = builder.conv(joined, 8, 4, "near"), builder.conv(pooled, 8, 4, "far")
    model = builder.model(builder.op("Add", near, far))
    images = np.random.default_rng(0).normal(size=(4, 4, 8, 8)).astype(np.float32)
    graph = repaired(model)
    assert all(set(sources(graph, name)) == {"DequantizeLinear"} for name in ("near", "far"))
    before, after = (ReferenceSession(each).logits(images) for each in (model, graph))
    assert np.array_equal(before, after)
    assert repaired(graph).SerializeToString() == graph.SerializeToString()
    untouched = repaired(model, "openvino")
    assert "Concat" in sources(untouched, "near")


SCALES = np.array([0.01, 0.02, 0.04, 0.03], np.float32)


@pytest.mark.parametrize("point", [np.int8(0), np.uint8(128), np.uint8(0)])
def test_activations_scaled_per_channel_take_the_largest_scale_for_tensorrt(point: Any) -> None:
    """As NNCF quantizes what a depthwise convolution reads; a MaxPool shares the integers."""
    builder = Builder(point)
    x = builder.op("Relu", builder.conv(builder.pair("input", 0.05), 4, 4))
    x = builder.op("MaxPool", builder.channels(x, SCALES, np.full(4, point)), kernel_shape=[2, 2])
    model = builder.model(builder.conv(x, 4, 4))
    images = np.random.default_rng(0).normal(size=(4, 4, 8, 8)).astype(np.float32)
    graph = repaired(model)
    values = {x.name: onnx.numpy_helper.to_array(x) for x in graph.graph.initializer}
    activations = [n for n in graph.graph.node if n.op_type == "QuantizeLinear"]
    assert all(values[node.input[1]].shape == () for node in activations)
    largest = 0.04 if point.dtype == np.int8 or point else 0.04 * 255 / 127
    assert any(values[node.input[1]] == pytest.approx(largest) for node in activations)
    # The same as a graph written with that one scale at first.
    other = Builder(point)
    y = other.op("Relu", other.conv(other.pair("input", 0.05), 4, 4))
    y = other.op("MaxPool", other.pair(y, 0.04), kernel_shape=[2, 2])
    meant = repaired(other.model(other.conv(y, 4, 4)))
    ours, theirs = (ReferenceSession(each).logits(images) for each in (graph, meant))
    assert np.array_equal(ours, theirs)
    assert repaired(graph).SerializeToString() == graph.SerializeToString()


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_other_targets_keep_scales_per_channel_and_every_value(target: Any) -> None:
    builder = Builder()
    x = builder.conv(builder.pair("input", 0.05), 4, 4)
    points = np.array([0, 3, -2, 0], np.int8)
    model = builder.model(builder.conv(builder.channels(x, SCALES, points), 4, 4))
    images = np.random.default_rng(0).normal(size=(4, 4, 8, 8)).astype(np.float32)
    graph = repaired(model, target)
    before, after = (ReferenceSession(each).logits(images) for each in (model, graph))
    assert np.array_equal(before, after)


def equal_branches() -> onnx.ModelProto:
    """Two branches alike for two pairs, as exporters that write a quantizer for each reader do."""
    builder = Builder()
    integers = builder.quantize("input", 0.05)
    pairs = (builder.pair(builder.dequantize(integers, 0.05), 0.1) for _ in range(2))
    model: onnx.ModelProto = builder.model(
        builder.op("Add", *(builder.conv(x, 4, 4) for x in pairs))
    )
    return model


def quantized_again() -> onnx.ModelProto:
    """A branch quantized once more on its own grid, which is then the other's."""
    builder = Builder()
    once = builder.pair("input", 0.05)
    again = builder.pair(once, 0.05)
    model: onnx.ModelProto = builder.model(
        builder.op("Add", *(builder.conv(x, 4, 4) for x in (once, again)))
    )
    return model


def joined_with_stored_integers() -> onnx.ModelProto:
    builder = Builder(np.uint8(128))
    stored = builder.constant(np.full((1, 4, 8, 8), 130, np.uint8))
    joined = builder.op("Concat", builder.quantize("input", 0.05), stored, axis=1)
    model: onnx.ModelProto = builder.model(builder.conv(builder.dequantize(joined, 0.05), 8, 4))
    return model


def sliced_integer_bias() -> onnx.ModelProto:
    builder = Builder()
    stored = builder.constant(np.arange(8, dtype=np.int32))
    grid = builder.constant(np.float32(0.01)), builder.constant(np.int32(0))
    bounds = (builder.constant(np.array([x], np.int64)) for x in (0, 4))
    bias = builder.op("Slice", builder.op("DequantizeLinear", stored, *grid), *bounds)
    weights = builder.weights(4, 4, 3, 3)
    model: onnx.ModelProto = builder.model(
        builder.op("Conv", builder.pair("input", 0.05), weights, bias)
    )
    return model


def integers_as_two_outputs(between: str) -> onnx.ModelProto:
    """The same integers under two names, which are both outputs, a third operator between."""
    builder = Builder()
    integers = builder.quantize("input", 0.05)
    if between == "Cast":
        again = builder.op("Cast", integers, to=onnx.TensorProto.INT8)
    else:
        again = builder.quantize(builder.dequantize(integers, 0.05), 0.05)
    model: onnx.ModelProto = builder.model(builder.conv(builder.dequantize(again, 0.05), 4, 4))
    shape = ("batch", 4, 8, 8)
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, shape)
        for name in (integers, again)
    )
    return model


def initializers_as_inputs() -> onnx.ModelProto:
    """As ONNX wanted them up to its IR version 3."""
    builder = Builder()
    model: onnx.ModelProto = builder.model(builder.conv(builder.pair("input", 0.05), 4, 4))
    model.ir_version = 3
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(x.name, x.data_type, x.dims)
        for x in model.graph.initializer
    )
    return model


@pytest.mark.parametrize("target", ["tensorrt", "openvino", "onnxruntime"])
@pytest.mark.parametrize(
    "model",
    [
        equal_branches(),
        quantized_again(),
        joined_with_stored_integers(),
        sliced_integer_bias(),
        integers_as_two_outputs("Cast"),
        integers_as_two_outputs("quantizers"),
        initializers_as_inputs(),
    ],
    ids=["branches", "again", "stored", "bias", "cast", "pair", "inputs"],
)
def test_valid_graphs_of_rare_shape_compute_the_same_after_surgery(
    model: onnx.ModelProto, target: Any
) -> None:
    onnx.checker.check_model(model, full_check=True)
    graph = repaired(model, target)
    images = np.random.default_rng(0).uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)
    before, after = (ReferenceSession(each).run(images) for each in (model, graph))
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert repaired(graph, target).SerializeToString() == graph.SerializeToString()


def test_what_openvino_need_not_tell_apart_by_the_sign_is_quantized_once() -> None:
    builder = Builder(np.uint8(0))
    x = builder.pair(builder.op("Relu", "input"), 0.05)
    builder.zero_point = np.int8(0)
    graph = repaired(builder.model(builder.conv(builder.pair(x, 0.05), 4, 4)), "openvino")
    assert [node.op_type for node in graph.graph.node].count("QuantizeLinear") == 1
    assert repaired(graph, "openvino").SerializeToString() == graph.SerializeToString()


@pytest.mark.parametrize("shape", [(), (1,)])
def test_one_zero_point_for_many_scales_is_written_for_each(shape: tuple[int, ...]) -> None:
    builder = Builder()
    weights = builder.weights(4, 4, 3, 3)
    zero = builder.constant(np.zeros(shape, np.int8))
    builder.nodes[-1].input[2] = zero
    model = builder.model(builder.op("Conv", builder.pair("input", 0.05), weights, name="conv"))
    graph = repaired(model)
    dequantize = makers(graph)[named(graph, "conv").input[1]]
    values = {x.name: onnx.numpy_helper.to_array(x) for x in graph.graph.initializer}
    assert values[dequantize.input[1]].shape == values[dequantize.input[2]].shape == (4,)
