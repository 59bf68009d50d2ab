"""Weights keep to -127..127."""

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names, constant
from tasks.surgery.quantizers import grid_of, has_grid, is_constant_dq


class NarrowWeights(Pass):
    """Rules.

    1. An int8 weight of -128 becomes -127, TensorRT's own symmetric range: one step of that
       weight, and only where an observer used the last value of the type.
    2. int32 biases, and weights already in range, are untouched.
    """

    name = "narrow_weights"
    keeps_values = False

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        for node in graph.nodes:
            if not reaches_lowest(node):
                continue
            weights = np.asarray(node.inputs[0].values)
            narrowed = constant(
                names.fresh(f"{node.inputs[0].name}_narrow"), np.maximum(weights, np.int8(-127))
            )
            changes.changed.append(f"{node.inputs[0].name} ({int((weights == -128).sum())} values)")
            node.inputs[0] = narrowed

    def left(self, graph: gs.Graph) -> list[str]:
        return [node.name for node in graph.nodes if reaches_lowest(node)]


def reaches_lowest(node: gs.Node) -> bool:
    if not is_constant_dq(node) or not has_grid(node):
        return False
    if grid_of(node).dtype != np.int8 or node.inputs[0].values.dtype != np.int8:
        return False
    return bool(np.any(np.asarray(node.inputs[0].values) == -128))
