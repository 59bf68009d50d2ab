"""Every integer tensor becomes int8 with zero-point 0."""

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names
from tasks.surgery.integer_groups import free_groups
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q

UINT8 = np.dtype(np.uint8)


class Int8ZeroPoints(Pass):
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

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        for group in free_groups(graph, _is_offset, changes):
            group.retype(np.dtype(np.int8), names, lambda integers: integers - 128)
            changes.changed.extend(member.name for member in group.quantizers)

    def left(self, graph: gs.Graph) -> list[str]:
        groups = free_groups(graph, _is_offset, Changes())
        return [group.quantizers[0].name for group in groups]


def _is_offset(node: gs.Node) -> bool:
    if not (is_q(node) or is_dq(node)) or not has_grid(node):
        return False
    grid = grid_of(node)
    return grid.dtype == UINT8 and bool(np.all(grid.zero_point == 128))
