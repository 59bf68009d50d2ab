"""A ReLU that only a quantizer computes is written out."""

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names, is_constant, producer
from tasks.surgery.passes.unsigned_activations import Signs
from tasks.surgery.quantizers import grid_of, has_grid, is_q


class ExplicitRelu(Pass):
    """Rules.

    1. A quantizer whose lowest integer stands for 0 cuts off what is negative, and some tools
       (ONNX Runtime's is one) leave the ReLU behind a Conv or an Add to it. A Relu ahead of it
       changes no value, fuses as well, and stays when the quantizer moves, drops or changes type.
    2. Where nothing negative can arrive, and at the graph's input, nothing is added.
    """

    name = "explicit_relu"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names, signs = Names(graph), Signs()
        for node in list(graph.nodes):
            if cuts_off(node, signs) and producer(node.inputs[0]) is not None:
                cut_ahead(graph, node, names)
                changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        signs = Signs()
        cutting = (node for node in graph.nodes if cuts_off(node, signs))
        return [node.name for node in cutting if producer(node.inputs[0]) is not None]


def cuts_off(node: gs.Node, signs: Signs) -> bool:
    """Whether a quantizer writes 0 for what could be negative."""
    if not is_q(node) or is_constant(node.inputs[0]) or not has_grid(node):
        return False
    return grid_of(node).starts_at_zero and not signs.never_negative(node.inputs[0])


def cut_ahead(graph: gs.Graph, quantize: gs.Node, names: Names) -> None:
    """Put a Relu between a quantizer and what it reads."""
    source = quantize.inputs[0]
    cut = gs.Variable(names.fresh(f"{source.name}_relu"), source.dtype, source.shape)
    name = names.fresh(f"{quantize.name}_relu")
    graph.nodes.append(gs.Node("Relu", name, inputs=[source], outputs=[cut]))
    quantize.inputs[0] = cut
