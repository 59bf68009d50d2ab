"""What differs between two graphs is said, and nothing else is."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tasks.surgery.diff import diff
from tasks.surgery.repair import repair
from tests.surgery.conftest import Export
from tests.surgery.qdq_builder import Builder, named


def network() -> onnx.ModelProto:
    builder = Builder()
    first = builder.conv(builder.pair("input", 0.1), 4, 4, "first")
    second = builder.conv(builder.pair(builder.op("Relu", first, name="relu"), 0.2), 4, 4, "second")
    model: onnx.ModelProto = builder.model(second)
    return model


def branches() -> onnx.ModelProto:
    """Two outputs, ``boxes`` and ``scores``, of the halves of two joined Convs."""
    builder = Builder()
    x = builder.pair("input", 0.1)
    convs = (builder.conv(x, 4, 4, name) for name in ("left", "right"))
    joined = builder.op("Concat", *convs, axis=1, name="join")
    split = helper.make_node("Split", [joined], ["upper", "lower"], name="split", axis=1)
    builder.nodes.append(split)
    grid = [builder.constant(np.full(4, 0.1, np.float32)), builder.constant(np.zeros(4, np.int8))]
    narrow = builder.op("QuantizeLinear", "upper", *grid, axis=1, name="narrow")
    moved = builder.op(
        "Add",
        builder.op("DequantizeLinear", narrow, *grid, axis=1, name="widen"),
        builder.constant(np.ones(4, np.float32).reshape(1, 4, 1, 1)),
        name="move",
    )
    builder.op("Sigmoid", moved, name="boxes")
    builder.op("Relu", "lower", name="scores")
    shape = ("batch", 4, 8, 8)
    outputs = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name in ("boxes_out", "scores_out")
    ]
    given = [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, shape)]
    graph = helper.make_graph(builder.nodes, "built", given, outputs, builder.initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def without_bias(model: onnx.ModelProto) -> None:
    del named(model, "left").input[2]


def more_joined(model: onnx.ModelProto) -> None:
    named(model, "join").input.append(named(model, "left").output[0])


def other_half(model: onnx.ModelProto) -> None:
    named(model, "scores").input[0] = "upper"


def no_constant(model: onnx.ModelProto) -> None:
    named(model, "move").input[1] = "lower"


def around_the_quantizers(model: onnx.ModelProto) -> None:
    pair = named(model, "move").input[0]
    named(model, "scores").input[0] = pair


def one_zero_point(model: onnx.ModelProto) -> None:
    for name in ("narrow", "widen"):
        node = named(model, name)
        node.input[2] = "centred"
    points = np.array([0, 0, 0, 9], np.int8)
    model.graph.initializer.append(numpy_helper.from_array(points, "centred"))


def swapped_outputs(model: onnx.ModelProto) -> None:
    named(model, "boxes").output[0] = "scores_out"
    named(model, "scores").output[0] = "boxes_out"


def pads(model: onnx.ModelProto) -> None:
    node = named(model, "first")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("pads", [2, 2, 0, 0]))


def weights(model: onnx.ModelProto) -> None:
    stored = next(x for x in model.graph.initializer if len(x.dims) == 4)
    stored.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(stored), stored.name))


def bias(model: onnx.ModelProto) -> None:
    name = named(model, "first").input[2]
    stored = next(x for x in model.graph.initializer if x.name == name)
    stored.CopyFrom(numpy_helper.from_array(np.ones(4, np.float32), name))


def domain(model: onnx.ModelProto) -> None:
    named(model, "relu").domain = "acme"


def operator(model: onnx.ModelProto) -> None:
    named(model, "relu").op_type = "Sigmoid"


def reroute(model: onnx.ModelProto) -> None:
    quantize = next(n for n in model.graph.node if n.input[0] == named(model, "relu").output[0])
    quantize.input[0] = named(model, "first").output[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pads, "another pads of Conv (1): first"),
        (weights, "input 0 of DequantizeLinear has other values"),
        (bias, "input 2 of Conv has other values: first"),
        (domain, "acme.Relu instead of Relu (1): relu"),
        (operator, "Sigmoid instead of Relu (1): relu"),
        (reroute, "Conv 'second' reads 'first' at input 0 where it read 'relu'"),
    ],
)
def test_one_change_is_the_one_difference(
    change: Callable[[onnx.ModelProto], None], said: str
) -> None:
    before, after = network(), network()
    assert diff(before, after).same
    change(after)
    found = diff(before, after)
    assert not found.same
    assert len(found.differences) == 1
    assert said in found.differences[0].text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_bias, ["Conv 'left' reads nothing at input 2 where it read a constant"]),
        (more_joined, ["Concat 'join' reads 'left' at input 2 where it read nothing"]),
        (other_half, ["Relu 'scores' reads 'split' at input 0 where it read output 1 of 'split'"]),
        (no_constant, ["Add 'move' reads output 1 of 'split' at input 1 where it read a constant"]),
        (
            around_the_quantizers,
            ["Relu 'scores' reads DequantizeLinear at input 0 where it read Split"],
        ),
        (one_zero_point, ["2 quantizers have another zero-point: narrow, widen"]),
        (
            swapped_outputs,
            [
                "output 'boxes_out' is made by Relu where it was made by Sigmoid",
                "output 'scores_out' is made by Sigmoid where it was made by Relu",
            ],
        ),
    ],
)
def test_graphs_that_compute_different_things_are_not_the_same(
    change: Callable[[onnx.ModelProto], None], said: list[str]
) -> None:
    before, after = branches(), branches()
    assert diff(before, after).same
    change(after)
    onnx.checker.check_model(after)
    found = diff(before, after)
    assert [x.text for x in found.differences] == said
    assert not found.same


def test_another_quantizer_of_the_same_tensor_is_another_way() -> None:
    builder = Builder()
    pairs = [builder.pair("input", scale) for scale in (0.1, 0.2)]
    convs = [builder.conv(pair, 4, 4, name) for pair, name in zip(pairs, "ab", strict=True)]
    before = builder.model(builder.op("Add", *convs))
    after = onnx.ModelProto()
    after.CopyFrom(before)
    named(after, "b").input[0] = named(after, "a").input[0]
    (found,) = diff(before, after).differences
    assert found.text.startswith("Conv 'b' reads 'DequantizeLinear_")


def test_surgery_is_said_to_have_changed_no_operator_and_no_way(resnet18: Export) -> None:
    repaired, _ = repair(resnet18.model, "openvino")
    texts = [x.text for x in diff(resnet18.model, repaired).differences]
    assert not any("instead of" in text or "has other values" in text for text in texts)
