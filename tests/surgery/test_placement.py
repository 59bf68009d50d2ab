"""Where quantizers stand after surgery, on graphs small enough to read."""

from typing import Any

import numpy as np
import onnx
import pytest

from tasks.surgery.lint import lint
from tasks.surgery.reference import ReferenceSession
from tasks.surgery.repair import repair
from tests.surgery.qdq_builder import Builder, makers, named, repaired, sources


def left_alone(model: onnx.ModelProto, name: str) -> dict[str, str]:
    records = repair(model, "tensorrt")[1]
    record = next(r for r in records if r.name == name)
    return {skip.node: skip.reason for skip in record.left_alone}


def differs(before: onnx.ModelProto, after: onnx.ModelProto, images: int = 2) -> float:
    """The largest difference of the logits on noise that every grid holds."""
    noise = np.random.default_rng(0).uniform(-1, 1, (images, 4, 8, 8)).astype(np.float32)
    logits = [ReferenceSession(model).logits(noise) for model in (before, after)]
    return float(np.abs(logits[0] - logits[1]).max())


def test_no_conv_edge_of_resnet18_is_cut_and_every_skip_is_quantized(resnet18: Any) -> None:
    graph = repaired(resnet18.model)
    adds = [node.name for node in graph.graph.node if node.op_type == "Add"]
    assert len(adds) == 8
    for name in adds:
        assert sorted(sources(graph, name)) == ["Conv", "DequantizeLinear"]


def residual(builder: Builder, *, both_convs: bool) -> str:
    x = builder.pair("input", 0.05)
    main = builder.conv(builder.pair(builder.conv(x, 4, 4, "first"), 0.1), 4, 4, "main")
    skip = builder.pair(builder.conv(x, 4, 4, "shortcut"), 0.2) if both_convs else x
    added = builder.op("Add", skip, builder.pair(main, 0.2), name="add")
    return builder.op("Relu", added, name="relu")


def test_where_both_sides_are_convs_the_deeper_one_becomes_float() -> None:
    builder = Builder()
    graph = repaired(builder.model(builder.pair(residual(builder, both_convs=True), 0.3)))
    made = makers(graph)
    edges = {made[x].op_type: made[x].name for x in named(graph, "add").input}
    assert edges["Conv"] == "main"
    assert "DequantizeLinear" in edges


def test_a_float_skip_takes_the_quantizer_that_its_tensor_has() -> None:
    builder = Builder()
    x = builder.op("Relu", builder.conv(builder.pair("input", 0.05), 4, 4), name="skip")
    main = builder.conv(builder.pair(x, 0.1), 4, 4, "main")
    y = builder.op("Add", builder.pair(main, 0.2), x, name="add")
    weighted = builder.conv(builder.pair(y, 0.3), 4, 4)
    graph = repaired(builder.model(weighted))
    assert sorted(sources(graph, "add")) == ["Conv", "DequantizeLinear"]


def test_a_chain_of_adds_keeps_one_float_conv_edge_each() -> None:
    builder = Builder()
    x = builder.pair("input", 0.05)
    total = builder.pair(builder.conv(x, 4, 4), 0.1)
    for index in range(3):
        conv = builder.conv(x, 4, 4, f"branch{index}")
        added = builder.op("Add", total, builder.pair(conv, 0.2), name=f"add{index}")
        total = builder.pair(added, 0.3)
    graph = repaired(builder.model(builder.conv(total, 4, 4)))
    for index in range(3):
        assert sorted(sources(graph, f"add{index}")) == ["Conv", "DequantizeLinear"]


def test_an_add_that_broadcasts_is_left_alone_and_said() -> None:
    builder = Builder()
    x = builder.pair("input", 0.05)
    pooled = builder.pair(builder.op("GlobalAveragePool", x), 0.05)
    conv = builder.pair(builder.conv(x, 4, 4), 0.2)
    added = builder.op("Add", conv, pooled, name="add")
    model = builder.model(builder.conv(builder.pair(added, 0.3), 4, 4))
    assert sources(repaired(model), "add") == ["DequantizeLinear", "DequantizeLinear"]
    assert "broadcasts" in left_alone(model, "residual_add")["add"]


def test_a_conv_that_something_else_reads_keeps_its_quantizer() -> None:
    builder = Builder()
    x = builder.pair("input", 0.05)
    conv = builder.pair(builder.conv(x, 4, 4), 0.2)
    added = builder.op("Add", conv, x, name="add")
    other = builder.conv(conv, 4, 4)
    y = builder.op("Add", builder.conv(builder.pair(added, 0.3), 4, 4), other)
    model = builder.model(y)
    assert sources(repaired(model), "add") == ["DequantizeLinear", "DequantizeLinear"]
    assert "something else reads" in left_alone(model, "residual_add")["add"]


@pytest.mark.parametrize("operator", ["Relu", "HardSwish", "Sigmoid"])
def test_nothing_is_rounded_between_a_conv_and_its_activation(operator: str) -> None:
    builder = Builder()
    conv = builder.conv(builder.pair("input", 0.05), 4, 4)
    act = builder.op(operator, builder.pair(conv, 0.2), name="function")
    graph = repaired(builder.model(builder.conv(builder.pair(act, 0.2), 4, 4)))
    assert sources(graph, "function") == ["Conv"]


def test_the_gate_of_squeeze_and_excite_is_float_and_its_data_is_not() -> None:
    builder = Builder()
    x = builder.pair(builder.op("Relu", builder.conv(builder.pair("input", 0.05), 4, 4)), 0.1)
    pooled = builder.pair(builder.op("GlobalAveragePool", x), 0.1)
    gate = builder.op("HardSigmoid", builder.conv(pooled, 4, 4), name="gate")
    scaled = builder.op("Mul", builder.pair(gate, 1 / 127), x, name="scale")
    graph = repaired(builder.model(builder.conv(builder.pair(scaled, 0.1), 4, 4)))
    assert sorted(sources(graph, "scale")) == ["DequantizeLinear", "HardSigmoid"]


def test_the_inputs_of_a_concat_take_its_output_scale() -> None:
    builder = Builder()
    x = builder.pair("input", 0.05)
    branches = [builder.pair(builder.conv(x, 4, 4), scale) for scale in (0.1, 0.2)]
    joined = builder.op("Concat", *branches, axis=1, name="join")
    graph = repaired(builder.model(builder.conv(builder.pair(joined, 0.25), 8, 4)))
    values = {x.name: onnx.numpy_helper.to_array(x) for x in graph.graph.initializer}
    made = makers(graph)
    scales = [values[made[x].input[1]] for x in named(graph, "join").input]
    assert scales == [np.float32(0.25)] * 2


@pytest.mark.parametrize(
    ("operator", "parameters", "attributes"),
    [
        ("MaxPool", (), {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Transpose", (), {"perm": [0, 1, 3, 2]}),
        ("Slice", ([0, 0], [4, 4], [2, 3]), {}),
        ("Gather", ([0, 2, 4],), {"axis": 2}),
        ("DepthToSpace", (), {"blocksize": 2}),
    ],
)
def test_what_moves_values_between_float_and_a_quantizer_gets_integers_on_both_sides(
    operator: str, parameters: tuple[list[int], ...], attributes: dict[str, Any]
) -> None:
    builder = Builder()
    conv = builder.conv(builder.pair("input", 0.05), 4, 4)
    constants = (builder.constant(np.array(x, np.int64)) for x in parameters)
    moved = builder.op(operator, conv, *constants, name="move", **attributes)
    channels = 1 if operator == "DepthToSpace" else 4
    model = builder.model(builder.conv(builder.pair(moved, 0.2), channels, 4))
    graph = repaired(model)
    assert sources(graph, "move") == ["DequantizeLinear"]
    images = np.random.default_rng(0).normal(size=(2, 4, 8, 8)).astype(np.float32)
    before, after = (ReferenceSession(m).logits(images) for m in (model, graph))
    assert np.array_equal(before, after)


def test_a_reshape_keeps_one_pair_in_front_of_it() -> None:
    builder = Builder()
    conv = builder.conv(builder.pair("input", 0.05), 4, 4)
    flat = builder.op("Reshape", conv, builder.constant(np.int64([0, -1])), name="flat")
    product = builder.op("MatMul", builder.pair(flat, 0.2), builder.weights(256, 8, axis=1))
    graph = repaired(builder.model(product))
    assert sources(graph, "flat") == ["DequantizeLinear"]
    readers = [n.op_type for n in graph.graph.node if named(graph, "flat").output[0] in n.input]
    assert readers == ["MatMul"]


def test_quantizers_behind_the_last_gemm_and_around_flatten_go(resnet18: Any) -> None:
    graph = repaired(resnet18.model, "openvino")
    made = makers(graph)
    assert made["logits"].op_type == "Gemm"
    flatten = next(node for node in graph.graph.node if node.op_type == "Flatten")
    readers = [n.op_type for n in graph.graph.node if flatten.output[0] in n.input]
    assert readers == ["Gemm"]
    assert sources(graph, flatten.name) == ["DequantizeLinear"]


def test_unsigned_activations_fit_int8_for_tensorrt_without_clipping() -> None:
    builder = Builder(np.uint8(0))
    x = builder.op("Relu", builder.pair(builder.op("Relu", "input"), 0.02))
    model = builder.model(builder.conv(builder.pair(x, 0.02), 4, 4))
    graph = repaired(model)
    values = {x.name: onnx.numpy_helper.to_array(x) for x in graph.graph.initializer}
    grids = [
        (values[n.input[1]], values[n.input[2]])
        for n in graph.graph.node
        if n.op_type == "QuantizeLinear"
    ]
    assert grids
    for scale, zero_point in grids:
        assert zero_point.dtype == np.int8
        assert scale == pytest.approx(0.02 * 255 / 127)


@pytest.mark.parametrize(
    "point", [np.uint8(0), np.uint8(127), np.uint8(129), np.int8(-1), np.int8(1)]
)
@pytest.mark.parametrize("channels", [(), (4,)], ids=["tensor", "channels"])
def test_weights_off_centre_become_int8_for_tensorrt(point: Any, channels: tuple[int, ...]) -> None:
    builder = Builder()
    reach = np.iinfo(point.dtype)
    integers = builder.random.integers(reach.min, reach.max + 1, (4, 4, 3, 3)).astype(point.dtype)
    grid = np.full(channels, 0.01, np.float32), np.full(channels, point, point.dtype)
    stored = (builder.constant(x) for x in (integers, *grid))
    weights = builder.op("DequantizeLinear", *stored, axis=0)
    model = builder.model(builder.op("Conv", builder.pair("input", 0.05), weights, name="conv"))
    graph = repaired(model)
    assert [x.code for x in lint(graph, "tensorrt").findings] == []
    images = np.random.default_rng(0).normal(size=(2, 4, 8, 8)).astype(np.float32)
    before, after = (ReferenceSession(m).logits(images) for m in (model, graph))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9999


def test_on_tensorrt_a_small_classifier_behind_global_pooling_is_float(resnet18: Any) -> None:
    graph = repaired(resnet18.model)
    gemm = next(node for node in graph.graph.node if node.op_type == "Gemm")
    assert sources(graph, gemm.name) == ["Flatten"]
    weights = next(x for x in graph.graph.initializer if x.name == gemm.input[1])
    assert weights.data_type == onnx.TensorProto.FLOAT
    others = repaired(resnet18.model, "openvino")
    assert "DequantizeLinear" in sources(others, gemm.name)


def test_weights_behind_a_transpose_are_stored_turned() -> None:
    builder = Builder()
    x = builder.pair("input", 0.1)
    weights = builder.op("Transpose", builder.weights(6, 8), perm=[1, 0], name="turn")
    product = builder.op("MatMul", x, weights, name="product")
    model = builder.model(product)
    images = np.random.default_rng(0).normal(size=(2, 4, 8, 8)).astype(np.float32)
    graph = repaired(model)
    assert sources(graph, "product") == ["DequantizeLinear", "DequantizeLinear"]
    before, after = (ReferenceSession(m).logits(images) for m in (model, graph))
    assert np.array_equal(before, after)


def test_a_relu_joined_with_signed_values_stays_int8_and_a_second_run_leaves_it() -> None:
    builder = Builder()
    x = builder.pair("input", 0.05)
    positive = builder.pair(builder.op("Relu", x), 0.05)
    joined = builder.pair(builder.op("Concat", positive, x, axis=1), 0.05)
    raw = builder.model(builder.pair(builder.conv(joined, 8, 4), 0.05))
    repaired, _ = repair(raw, "openvino")
    _, second = repair(repaired, "openvino")
    assert [record.name for record in second if record.changed] == []
    zero_points = {
        onnx.numpy_helper.to_array(tensor).dtype.name
        for tensor in repaired.graph.initializer
        for node in repaired.graph.node
        if node.op_type == "QuantizeLinear" and tensor.name == node.input[2]
    }
    assert zero_points == {"int8"}


@pytest.mark.parametrize("through", ["itself", "Gather"])
def test_what_can_be_negative_by_the_zero_point_of_a_constant_stays_int8(through: str) -> None:
    builder = Builder()
    x = builder.pair(builder.op("Relu", builder.conv(builder.pair("input", 0.05), 4, 4)), 0.05)
    integers = builder.constant(np.full((1, 4, 1, 1), 20, np.uint8))
    if through == "Gather":
        integers = builder.op("Gather", integers, builder.constant(np.int64([0])), axis=0)
    grid = builder.constant(np.float32(0.05)), builder.constant(np.uint8(150))
    moved = builder.op("Add", x, builder.op("DequantizeLinear", integers, *grid))
    model = builder.model(builder.conv(builder.pair(moved, 0.1), 4, 4))
    assert differs(model, repaired(model, "openvino")) < 0.01


def test_integers_joined_with_negative_integers_stay_int8() -> None:
    builder = Builder()
    positive = builder.quantize(builder.op("Relu", "input"), 0.05)
    stored = builder.constant(np.full((1, 4, 8, 8), -5, np.int8))
    joined = builder.dequantize(builder.op("Concat", positive, stored, axis=1), 0.05)
    model = builder.model(builder.conv(joined, 8, 4))
    assert differs(model, repaired(model, "openvino"), images=1) < 0.01
