"""No Cast between a quantizer and its dequantizers."""

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes
from tasks.surgery.graph import producer, redirect, sweep
from tasks.surgery.integers import cast_type, integer_type


class DropCasts:
    """Rules.

    1. A Cast of a quantized tensor to the type it already has goes, for every reader: exporters
       put one in front of each DequantizeLinear, and several may share a QuantizeLinear.
    2. Reshapes and MaxPools on the integers between do not hide it.
    3. A Cast that changes the type stays, and is said.
    """

    name = "drop_casts"
    keeps_values = True

    def requires(self, graph: gs.Graph) -> str | None:  # noqa: ARG002
        return None

    def apply(self, graph: gs.Graph) -> Changes:
        changes = Changes()
        for node in graph.nodes:
            if node.op != "Cast" or node.domain or producer(node.inputs[0]) is None:
                continue
            source = integer_type(node.inputs[0])
            if source is None:
                continue
            if source != cast_type(node):
                changes.skip(node.name, f"it turns {source} into {cast_type(node)}")
            elif redirect(graph, node.outputs[0], node.inputs[0]):
                changes.changed.append(node.name)
        sweep(graph)
        return changes

    def ensures(self, graph: gs.Graph) -> str | None:
        left = [
            n.name
            for n in graph.nodes
            if n.op == "Cast" and n.outputs[0].outputs and integer_type(n.inputs[0]) == cast_type(n)
        ]
        return f"Casts left: {', '.join(left[:3])}" if left else None
