"""Tracing compiled layers back to the nodes of the ONNX graph that they came from."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from schemas.engine import Layer, LayerTable
from tasks.runtimes.onnx_file import read_structure

# What OpenVINO appends to the name of a node that it splits.
_SUFFIXES = ("/WithoutBiases", "/DequantizationMultiply", "/DequantizationSubtract", "/fq_input_0")
_QDQ = {"QuantizeLinear", "DequantizeLinear"}
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_CONVOLUTIONS = {"Conv", "ConvTranspose"}


@dataclass(frozen=True)
class Node:
    """A node of the graph, and the nodes that make its inputs."""

    name: str
    op: str
    sources: tuple[str, ...]


class OnnxNames:
    """The nodes of an ONNX graph by name, and by the tensors that they make.

    A node without a name is called after its first output.
    """

    def __init__(self, nodes: Iterable[Node], producers: dict[str, str]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.producers = producers

    @classmethod
    def of(cls, graph: Path) -> Self:
        model = read_structure(graph)
        named = [(node.name or node.output[0], node) for node in model.graph.node]
        producers = {tensor: name for name, node in named for tensor in node.output}
        nodes = [
            Node(
                name=name,
                op=node.op_type,
                sources=tuple(producers[tensor] for tensor in node.input if tensor in producers),
            )
            for name, node in named
            if node.op_type != "Constant"
        ]
        return cls(nodes, producers)

    def trace(self, names: Iterable[str]) -> tuple[str, ...]:
        """The ONNX nodes behind a compiler's layer names, each once, in order.

        A name is a node's, a tensor's (then its producer is meant), or one of these with a suffix.
        What cannot be traced is left out.
        """
        found: dict[str, None] = {}
        for name in names:
            node = self._node(name)
            if node:
                found[node] = None
        return tuple(found)

    def _node(self, name: str) -> str | None:
        while True:
            if name in self.nodes:
                return name
            if name in self.producers:
                return self.producers[name]
            stripped = name
            for suffix in _SUFFIXES:
                stripped = stripped.removesuffix(suffix)
            if stripped == name:
                return None
            name = stripped

    def annotate(self, table: LayerTable) -> LayerTable:
        """The table with its layers' nodes traced to this graph, and what follows from them."""
        return table.model_copy(update={"layers": tuple(map(self._annotated, table.layers))})

    def _annotated(self, layer: Layer) -> Layer:
        nodes = self.trace(layer.onnx_nodes)
        ops = tuple(self.nodes[node].op for node in nodes)
        return layer.model_copy(
            update={
                "onnx_nodes": nodes,
                "onnx_ops": ops,
                "is_qdq": bool(ops) and set(ops) <= _QDQ and not self._at_the_edge(nodes),
            }
        )

    def _at_the_edge(self, nodes: tuple[str, ...]) -> bool:
        """Whether the nodes read the graph's own input or make its output: there Q/DQ is due."""
        read = {source for node in self.nodes.values() for source in node.sources}
        return any(
            node not in read
            or (self.nodes[node].op == "QuantizeLinear" and not self.nodes[node].sources)
            for node in nodes
        )

    def residual_adds(self) -> list[str]:
        """Adds of two computed tensors: a bias is not one."""
        adds = (node for node in self.nodes.values() if node.op == "Add")
        return [x.name for x in adds if len([y for y in x.sources if y in self.nodes]) == 2]

    def fused_into(self, add: str, kernel: Iterable[str]) -> str | None:
        """The conv or matmul among ``kernel``'s nodes whose result reaches ``add`` unrounded.

        None where a Q/DQ lies between them, or the kernel holds no such node: the Add is then a
        kernel of its own.
        """
        inside = set(kernel)
        frontier = list(self.nodes[add].sources)
        while frontier:
            name = frontier.pop()
            if name not in inside or self.nodes[name].op in _QDQ:
                continue
            node = self.nodes[name]
            if node.op in _WEIGHTED:
                return name
            frontier += node.sources
        return None

    def convolutions(self) -> list[str]:
        return [x.name for x in self.nodes.values() if x.op in _CONVOLUTIONS]
