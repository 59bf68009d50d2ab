"""Tracing compiled layers back to the nodes of the ONNX graph that they came from."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# What OpenVINO appends to the name of a node that it splits.
_SUFFIXES = ("/WithoutBiases", "/DequantizationMultiply", "/DequantizationSubtract", "/fq_input_0")


@dataclass(frozen=True)
class OnnxNames:
    """Node names of a graph, and which node makes which tensor."""

    nodes: frozenset[str]
    producers: dict[str, str]

    @classmethod
    def of(cls, graph: Path) -> Self:
        import onnx

        model = onnx.load(str(graph), load_external_data=False)
        producers = {tensor: node.name for node in model.graph.node for tensor in node.output}
        return cls(frozenset(node.name for node in model.graph.node), producers)

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
