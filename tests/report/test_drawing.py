"""Pictures of graphs: a residual block before and after surgery."""

import re
from itertools import pairwise
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tasks.report.page.drawing import MOST_NODES, draw


def save(folder: Path, nodes: list[onnx.NodeProto]) -> Path:
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1])
    file = folder / "graph.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [images], [logits], [scale])), file)
    return file


def residual() -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", ["images", "scale"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale"], ["dq"], "dequantize"),
        helper.make_node("DequantizeLinear", ["integers", "scale"], ["weight"], "of-a-weight"),
        helper.make_node("MatMul", ["dq", "weight"], ["product"], "<product>"),
        helper.make_node("Relu", ["product"], ["positive"]),
        helper.make_node("Add", ["positive", "dq"], ["logits"], "skip"),
    ]


def test_data_is_drawn_and_weights_are_not(tmp_path: Path) -> None:
    svg = draw(save(tmp_path, residual()), "a residual block")
    assert svg is not None
    drawn = re.findall(r'<g class="(\w+)"><title>([^<]*)<', svg)
    assert drawn == [
        ("q", "QuantizeLinear quantize"),
        ("dq", "DequantizeLinear dequantize"),
        ("int8", "MatMul &lt;product&gt;"),
        ("other", "Relu"),
        ("other", "Add skip"),
    ]
    assert svg.count("<path") == 5, "four steps and the skip"


def test_a_skip_passes_by_the_boxes_that_it_skips(tmp_path: Path) -> None:
    svg = draw(save(tmp_path, residual()), "a residual block")
    assert svg is not None
    rows = dict(re.findall(r'<title>(\w+)[^<]*</title><rect x="\d+" y="(\d+)"', svg))
    levels = {float(y) for y in re.findall(r"[ML]\d+ (\d+)", svg)}
    assert levels - {float(rows["MatMul"]) + 11}, "one line is not on the row of the product"


def test_a_product_of_floats_is_not_shown_as_integer(tmp_path: Path) -> None:
    svg = draw(
        save(
            tmp_path,
            [
                helper.make_node("MatMul", ["images", "w"], ["y"]),
                helper.make_node("Relu", ["y"], ["logits"]),
            ],
        ),
        "float",
    )
    assert svg is not None
    assert '<g class="float"><title>MatMul' in svg


@pytest.mark.parametrize("count", [1, MOST_NODES + 1])
def test_what_no_one_would_look_at_is_not_drawn(tmp_path: Path, count: int) -> None:
    names = ["images", *(f"t{i}" for i in range(count - 1)), "logits"]
    chain = [helper.make_node("Relu", [a], [b]) for a, b in pairwise(names)]
    assert draw(save(tmp_path, chain), "a chain") is None
