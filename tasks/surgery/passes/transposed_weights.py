"""Weights are stored the way that they are read."""

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names, constant, is_output, only_reader, producer, redirect
from tasks.surgery.quantizers import grid_of, has_grid, is_constant_dq


class TransposedWeights(Pass):
    """Rules.

    1. A Transpose of dequantized weights is computed on their integers, and the axis of their
       scales goes along: MatMul then reads its factor straight from a DequantizeLinear, which is
       where compilers look for INT8.
    2. Left alone: weights that something else reads as they are.
    """

    name = "transposed_weights"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        for node in graph.nodes:
            weights = _weights_behind(graph, node)
            if weights is None:
                continue
            grid = grid_of(weights)
            integers = np.asarray(weights.inputs[0].values)
            order = list(node.attrs.get("perm") or reversed(range(integers.ndim)))
            turned = np.ascontiguousarray(np.transpose(integers, order))
            weights.inputs[0] = constant(names.fresh(f"{weights.inputs[0].name}_turned"), turned)
            if not grid.per_tensor:
                weights.attrs["axis"] = order.index(grid.axis % integers.ndim)
            weights.outputs[0].shape = list(turned.shape)
            redirect(graph, node.outputs[0], weights.outputs[0])
            changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [n.name for n in graph.nodes if _weights_behind(graph, n) is not None]


def _weights_behind(graph: gs.Graph, node: gs.Node) -> gs.Node | None:
    if node.op != "Transpose" or node.domain or is_output(graph, node.outputs[0]):
        return None
    weights = producer(node.inputs[0])
    if weights is None or not is_constant_dq(weights) or not has_grid(weights):
        return None
    alone = only_reader(graph, node.inputs[0]) is node and not grid_of(weights).block_size
    return weights if alone and node.outputs[0].outputs else None
