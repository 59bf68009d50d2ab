"""Telling which layer of one graph is which of another, whatever exporter named them."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

import onnx

_LINEAR = ("Gemm", "MatMul")
_SEEN_THROUGH = ("DequantizeLinear", "QuantizeLinear", "Cast", "Identity", "Transpose", "Reshape")


@dataclass(frozen=True)
class Spot:
    """A layer in one graph, and the tensor that holds its output, bias and BatchNorm included."""

    name: str
    op: str
    tensor: str
    key: tuple[str, ...]


def spots(model: onnx.ModelProto) -> list[Spot]:
    """The convolutions, linear layers and residual additions of a graph, in its own order."""
    return list(_Reader(model.graph).spots())


def matched(reference: list[Spot], other: list[Spot]) -> dict[str, str]:
    """Tensors of ``reference`` to those of ``other``, for the layers that both have in order."""
    matcher = SequenceMatcher(None, [s.key for s in reference], [s.key for s in other], False)
    return {
        reference[block.a + i].tensor: other[block.b + i].tensor
        for block in matcher.get_matching_blocks()
        for i in range(block.size)
    }


class _Reader:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._made = {name: node for node in graph.node for name in node.output}
        self._shapes = {x.name: tuple(x.dims) for x in graph.initializer}
        self._read: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._read.setdefault(name, []).append(node)
        for node in graph.node:
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self._shapes[node.output[0]] = tuple(attribute.t.dims)

    def spots(self) -> Iterator[Spot]:
        for node in self._graph.node:
            if node.op_type in ("Conv", "ConvTranspose", *_LINEAR):
                shape = self._constant_shape(node.input[1])
                if shape is None:
                    continue
                kind = "Linear" if node.op_type in _LINEAR else node.op_type
                # A linear layer's weights may lie either way round.
                dims = sorted(shape) if kind == "Linear" else list(shape)
                key = (kind, *map(str, dims))
                yield Spot(node.name or node.output[0], node.op_type, self._end(node), key)
            elif node.op_type == "Add" and not any(
                self._constant_shape(name) is not None for name in node.input
            ):
                yield Spot(node.name or node.output[0], "Add", node.output[0], ("Add",))

    def _constant_shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of what a tensor comes from, where that is a constant."""
        while name not in self._shapes:
            node = self._made.get(name)
            if node is None or node.op_type not in _SEEN_THROUGH:
                return None
            name = node.input[0]
        return self._shapes[name]

    def _end(self, node: onnx.NodeProto) -> str:
        """The layer's output behind its bias and BatchNorm, where those are nodes of their own."""
        tensor = str(node.output[0])
        readers = self._read.get(tensor, [])
        if len(readers) == 1:
            follower = readers[0]
            if follower.op_type == "BatchNormalization":
                return str(follower.output[0])
            others = [name for name in follower.input if name != tensor]
            is_bias = follower.op_type == "Add" and len(others) == 1
            if is_bias and self._constant_shape(others[0]) is not None:
                return str(follower.output[0])
        return tensor
