"""At a residual Add the convolution's edge is float and the skip is quantized."""

from dataclasses import dataclass

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.depth import depths
from tasks.surgery.graph import is_constant, only_reader, producer, replace_input
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q

_CONVOLUTIONS = ("Conv", "ConvTranspose")


class ResidualAdd(Pass):
    """Rules. NVIDIA's Q/DQ placement advice: Conv, Add and ReLU then become one kernel.

    1. Q and DQ between a Conv and an Add go, where nothing else reads the Conv.
    2. The Add's other input stays quantized, or takes the quantizer its tensor already has: a
       float skip keeps the kernel from reading integers.
    3. Where both inputs come from a Conv, exactly one edge becomes float: that of the Conv further
       from the input, which runs last and finds the other already computed.
    4. A chain of Adds is a series of such: the Add ahead is a skip like any other.
    5. Left alone, and said: Adds that broadcast or whose shapes are unknown, a Conv with other
       readers, a skip that no quantizer reads.
    """

    name = "residual_add"
    keeps_values = False

    def requires(self, graph: gs.Graph) -> str | None:
        return None if any(n.op == "Add" for n in graph.nodes) else "the graph has no Add"

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        depth = depths(graph)
        for node in list(graph.nodes):
            if node.op != "Add" or node.domain:
                continue
            edges = [_Edge.into(graph, node, tensor) for tensor in node.inputs]
            if not any(edge.convolution for edge in edges):
                continue
            reason = _obstacle(edges)
            if reason is not None:
                changes.skip(node.name, reason)
                continue
            fused = max(
                (edge for edge in edges if edge.fusable),
                key=lambda e: (e.is_float, depth[id(e.source)]),
            )
            skip = edges[1] if fused is edges[0] else edges[0]
            if skip.is_float and not skip.adopt_quantizer(node):
                changes.skip(node.name, f"no quantizer reads its skip {skip.source.name!r}")
                continue
            if skip.is_float or not fused.is_float:
                replace_input(node, fused.tensor, fused.source)
                changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [node.name for node in cut_adds(graph)]


def cut_adds(graph: gs.Graph) -> list[gs.Node]:
    """Adds that could take a convolution's output in float and do not."""
    found = []
    for node in graph.nodes:
        if node.op != "Add" or node.domain:
            continue
        edges = [_Edge.into(graph, node, tensor) for tensor in node.inputs]
        if not any(edge.convolution for edge in edges) or _obstacle(edges) is not None:
            continue
        if not any(edge.is_float for edge in edges):
            found.append(node)
    return found


@dataclass
class _Edge:
    """One input of an Add: ``tensor`` as the Add reads it, ``source`` as its maker wrote it."""

    tensor: gs.Tensor
    source: gs.Tensor
    is_float: bool
    convolution: gs.Node | None
    shared: bool

    @property
    def fusable(self) -> bool:
        return self.convolution is not None and not self.shared

    @classmethod
    def into(cls, graph: gs.Graph, add: gs.Node, tensor: gs.Tensor) -> "_Edge":
        dequantize = producer(tensor)
        source, shared = tensor, only_reader(graph, tensor) is not add
        if dequantize is not None and is_dq(dequantize):
            quantize = producer(dequantize.inputs[0])
            if quantize is not None and is_q(quantize):
                source = quantize.inputs[0]
                shared = (
                    shared
                    or only_reader(graph, dequantize.inputs[0]) is not dequantize
                    or only_reader(graph, source) is not quantize
                )
        maker = producer(source)
        conv = maker if maker is not None and maker.op in _CONVOLUTIONS else None
        return cls(tensor, source, source is tensor, conv, shared)

    def adopt_quantizer(self, add: gs.Node) -> bool:
        """Let the Add read this float tensor through a quantizer that the tensor already has."""
        for quantize in self.tensor.outputs:
            if not is_q(quantize) or not has_grid(quantize) or not grid_of(quantize).per_tensor:
                continue
            for dequantize in quantize.outputs[0].outputs:
                if is_dq(dequantize):
                    replace_input(add, self.tensor, dequantize.outputs[0])
                    return True
        return False


def _obstacle(edges: list[_Edge]) -> str | None:
    if len(edges) != 2 or any(is_constant(edge.tensor) for edge in edges):
        return "it adds a constant"
    first, second = (edge.tensor.shape or edge.source.shape for edge in edges)
    if first is None or second is None:
        return "the shapes of its inputs are unknown"
    if list(first) != list(second) or None in list(first):
        return f"it broadcasts {first} and {second}"
    if edges[0].tensor is edges[1].tensor:
        return "both inputs are the same tensor"
    if not any(edge.fusable for edge in edges):
        return "something else reads the convolution too"
    return None
