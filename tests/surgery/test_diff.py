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


def test_surgery_is_said_to_have_changed_no_operator_and_no_way(resnet18: Export) -> None:
    repaired, _ = repair(resnet18.model, "openvino")
    texts = [x.text for x in diff(resnet18.model, repaired).differences]
    assert not any("instead of" in text or "has other values" in text for text in texts)
