"""Dequantizing and quantizing again on the same grid is nothing."""

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import can_redirect, producer, redirect
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q


class CancelPairs(Pass):
    """Rules.

    1. A QuantizeLinear that reads a DequantizeLinear of its own grid goes: its readers read the
       integers before both.
    2. Another scale in between is a requantization and stays.
    """

    name = "cancel_pairs"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        for node in graph.nodes:
            source = undone_by(node)
            if source is None:
                continue
            if redirect(graph, node.outputs[0], source.inputs[0]):
                changes.changed.append(node.name)
            else:
                changes.skip(node.name, "an output of the graph")

    def left(self, graph: gs.Graph) -> list[str]:
        return [
            n.name
            for n in graph.nodes
            if (source := undone_by(n)) is not None
            and n.outputs[0].outputs
            and can_redirect(graph, n.outputs[0], source.inputs[0])
        ]


def undone_by(node: gs.Node) -> gs.Node | None:
    """The DequantizeLinear that a QuantizeLinear undoes."""
    if not is_q(node) or not has_grid(node):
        return None
    source = producer(node.inputs[0])
    if source is None or not is_dq(source) or not has_grid(source):
        return None
    grid = grid_of(node)
    # Below the normal range, scale times integer is no longer exact enough to come back.
    if not grid.same_as(grid_of(source)) or np.any(grid.scale < np.finfo(np.float32).tiny):
        return None
    return source
