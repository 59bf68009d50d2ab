"""Every integer tensor becomes int8 with zero-point 0."""

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes
from tasks.surgery.graph import Names
from tasks.surgery.integer_groups import IntegerGroup
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q

UINT8 = np.dtype(np.uint8)


class Int8ZeroPoints:
    """Rules.

    1. uint8 with zero-point 128 and int8 with zero-point 0 are the same grid, 128 apart: the
       QuantizeLinear, every DequantizeLinear it reaches and the integers of initializers move
       together or not at all.
    2. Nodes that only move values (MaxPool, Reshape, Concat, ...) may stand in between.
    3. Where the integers leave the graph, enter it, or reach an operator that computes with them,
       the group stays and is said.
    4. Other zero-points are another pass's business, or a refusal.
    """

    name = "int8_zero_points"
    keeps_values = True

    def requires(self, graph: gs.Graph) -> str | None:  # noqa: ARG002
        return None

    def apply(self, graph: gs.Graph) -> Changes:
        changes = Changes()
        names = Names(graph)
        done: set[int] = set()
        for node in graph.nodes:
            if id(node) in done or not _is_offset(node):
                continue
            group = IntegerGroup(graph, node, _is_offset)
            done.update(id(member) for member in group.quantizers)
            if group.obstacle is not None:
                changes.skip(node.name, group.obstacle)
                continue
            group.retype(np.dtype(np.int8), -128, names)
            changes.changed.extend(member.name for member in group.quantizers)
        return changes

    def ensures(self, graph: gs.Graph) -> str | None:
        left = [
            node.name
            for node in graph.nodes
            if _is_offset(node) and IntegerGroup(graph, node, _is_offset).obstacle is None
        ]
        return f"uint8 zero-points left: {', '.join(left[:3])}" if left else None


def _is_offset(node: gs.Node) -> bool:
    if not (is_q(node) or is_dq(node)) or not has_grid(node):
        return False
    grid = grid_of(node)
    return grid.dtype == UINT8 and bool(np.all(grid.zero_point == 128))
