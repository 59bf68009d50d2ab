"""Quantizers stand where NVIDIA's rules put them, seen in the exported graph."""

from collections import Counter

import numpy as np
import onnx
from onnx import numpy_helper

from tests.models.pt2e.conftest import Quantized

THROUGH = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Gather", "Slice", "Split")


class Graph:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self._maker = {name: node for node in self.nodes for name in node.output}
        self._stored = {x.name: numpy_helper.to_array(x) for x in model.graph.initializer}

    def maker(self, name: str) -> str:
        """The operator that computes a tensor, or "" for an input."""
        node = self._maker.get(name)
        while node is not None and node.op_type in THROUGH:
            node = self._maker.get(node.input[0])
        return node.op_type if node is not None else ""

    def of(self, *operators: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if node.op_type in operators]

    def readers(self, name: str) -> list[str]:
        return sorted(node.op_type for node in self.nodes if name in node.input)

    def scale(self, name: str) -> float:
        """The scale of the dequantizer that writes a tensor."""
        node = self._maker[name]
        assert node.op_type == "DequantizeLinear"
        return float(self._stored[node.input[1]].ravel()[0])

    def weights(self) -> list[np.ndarray]:
        names = [node.input[0] for node in self.of("DequantizeLinear")]
        return [self._stored[name] for name in names if name in self._stored]


def test_every_convolution_and_linear_layer_reads_int8(residual: Quantized) -> None:
    graph = Graph(residual.onnx)
    heavy = graph.of("Conv", "Gemm", "MatMul")
    assert len(heavy) == 6
    for node in heavy:
        assert [graph.maker(x) for x in node.input[:2]] == ["DequantizeLinear"] * 2, node.name


def test_a_residual_add_reads_its_convolution_in_float_and_its_skip_in_int8(
    residual: Quantized,
) -> None:
    graph = Graph(residual.onnx)
    sides = [sorted(graph.maker(x) for x in add.input) for add in graph.of("Add")]
    assert sides == [["Conv", "DequantizeLinear"]] * 2


def test_nothing_is_quantized_between_a_convolution_and_its_function(residual: Quantized) -> None:
    graph = Graph(residual.onnx)
    assert len(graph.of("Relu")) == 4
    assert {graph.maker(relu.input[0]) for relu in graph.of("Relu")} == {"Conv", "Add"}


def test_grids_are_symmetric_and_stop_at_127(residual: Quantized) -> None:
    graph = Graph(residual.onnx)
    weights = graph.weights()
    assert len(weights) == 6
    for weight in weights:
        assert weight.dtype == np.int8
        assert weight.min() >= -127
        # The largest of every output channel is on the grid's last step.
        assert (np.abs(weight.reshape(weight.shape[0], -1).astype(int)).max(1) == 127).all()
    for entry in residual.table.tensors.values():
        assert np.isclose(entry.scale, max(-entry.minimum, entry.maximum) / 127, rtol=1e-6)


def test_no_cast_and_no_integer_bias_is_written(residual: Quantized) -> None:
    counts = Counter(node.op_type for node in residual.onnx.graph.node)
    assert counts["Cast"] == 0
    stored = {x.data_type for x in residual.onnx.graph.initializer}
    assert onnx.TensorProto.INT32 not in stored
    assert onnx.TensorProto.DOUBLE not in stored


def test_what_a_concat_joins_and_writes_is_on_one_scale(joined: Quantized) -> None:
    graph = Graph(joined.onnx)
    first, second = graph.of("Concat")
    assert len({graph.scale(name) for name in first.input}) == 1
    # And so is what the convolution reads behind the pooling.
    (pool,) = graph.of("MaxPool")
    behind = [x for x in graph.of("QuantizeLinear") if x.input[0] == pool.output[0]]
    assert len(behind) == 1
    (dequantized,) = (x.output[0] for x in graph.nodes if behind[0].output[0] in x.input)
    assert graph.scale(dequantized) == graph.scale(first.input[0])
    # Only a BatchNorm, which is float, reads the other: nothing of it is rounded for it.
    assert "Conv" in {graph.maker(name) for name in second.input}


def test_a_transformer_has_its_products_in_int8_and_its_norms_in_float(
    attention: Quantized,
) -> None:
    graph = Graph(attention.onnx)
    products = graph.of("MatMul", "Gemm", "Conv")
    assert len(products) == 1 + 2 + 2 + 2 + 1
    for node in products:
        assert [graph.maker(x) for x in node.input[:2]] == ["DequantizeLinear"] * 2, node.name
    (softmax,) = graph.of("Softmax")
    assert graph.maker(softmax.input[0]) == "MatMul"
    assert graph.readers(softmax.output[0]) == ["QuantizeLinear"]
    for norm in graph.of("LayerNormalization"):
        assert graph.maker(norm.input[0]) in ("Conv", "Add")
    # The residual stream is read by norms: it is never rounded.
    for add in graph.of("Add"):
        assert "DequantizeLinear" not in {graph.maker(x) for x in add.input}


def test_query_key_and_value_have_scales_of_their_own(attention: Quantized) -> None:
    graph = Graph(attention.onnx)
    activations = [
        node
        for node in graph.of("MatMul")
        if all(graph.maker(x) == "DequantizeLinear" for x in node.input)
        and not any("weight" in x for x in node.input)
    ]
    scales = set()
    for node in activations:
        for name in node.input:
            maker = name
            while graph._maker[maker].op_type in THROUGH:
                maker = graph._maker[maker].input[0]
            if graph._maker[maker].input[0] not in graph._stored:
                scales.add(graph.scale(maker))
    assert len(scales) >= 4
