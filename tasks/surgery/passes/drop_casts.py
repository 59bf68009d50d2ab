"""No Cast between a quantizer and its dequantizers."""

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import can_redirect, producer, redirect
from tasks.surgery.integers import cast_type, integer_type


class DropCasts(Pass):
    """Rules.

    1. A Cast of a quantized tensor to the type it already has goes, for every reader: exporters
       put one in front of each DequantizeLinear, and several may share a QuantizeLinear.
    2. Reshapes and MaxPools on the integers between do not hide it.
    3. A Cast that changes the type stays, and is said.
    """

    name = "drop_casts"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
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
            else:
                changes.skip(node.name, "both its sides are outputs of the graph")

    def left(self, graph: gs.Graph) -> list[str]:
        return [
            n.name
            for n in graph.nodes
            if n.op == "Cast"
            and n.outputs[0].outputs
            and integer_type(n.inputs[0]) == cast_type(n)
            and can_redirect(graph, n.outputs[0], n.inputs[0])
        ]
