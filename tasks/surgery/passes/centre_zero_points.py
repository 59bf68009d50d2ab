"""Zero-points that are not 0 on the int8 grid are moved there."""

from functools import partial
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names
from tasks.surgery.integer_groups import free_groups
from tasks.surgery.passes.explicit_relu import cut_ahead, cuts_off
from tasks.surgery.passes.unsigned_activations import Signs
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q, set_grid


class CentreZeroPoints(Pass):
    """Rules, for compilers that take no zero-point but 0 and no integers but int8.

    1. A grid one step off centre (uint8 with zero-point 127 or 129, as fake-quantization with a
       range of its own writes) becomes int8 with zero-point 0 and the same scale; the outermost
       value loses one step.
    2. uint8 with zero-point 0 (never negative, 255 steps) becomes int8 with zero-point 0 and the
       scale times 255/127: the same range on half as many steps.
    3. Where the graph's own input could be negative, a Relu cuts off what such a quantizer did.
    4. Integers of initializers, weights say, move with their grid.
    5. Any other zero-point was refused on the way in.
    """

    name = "centre_zero_points"
    keeps_values = False

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names, signs = Names(graph), Signs()
        for group in free_groups(graph, _is_off_centre, changes):
            points = {int(grid_of(m).zero_point.ravel()[0]) for m in group.quantizers}
            if len(points) != 1:
                changes.skip(group.quantizers[0].name, "it shares integers with other grids")
                continue
            (point,) = points
            unsigned = point == 0
            for member in group.quantizers:
                if cuts_off(member, signs):
                    cut_ahead(graph, member, names)
            group.retype(np.dtype(np.int8), names, partial(_centred, point=point))
            for member in group.quantizers:
                grid = grid_of(member)
                if unsigned:
                    wider = (grid.scale.astype(np.float64) * 255 / 127).astype(grid.scale.dtype)
                    set_grid(member, np.asarray(wider), grid.zero_point, names)
                changes.changed.append(member.name)


def _centred(integers: NDArray[np.int16], point: int) -> NDArray[Any]:
    """Stored integers on the centred grid: as many steps from 0, or half as many from uint8's."""
    steps = integers - point if point else np.rint(integers * (127 / 255))
    return np.clip(steps, -127, 127)


def _is_off_centre(node: gs.Node) -> bool:
    if not (is_q(node) or is_dq(node)) or not has_grid(node):
        return False
    grid = grid_of(node)
    if len(np.unique(grid.zero_point)) != 1:
        return False
    point = int(grid.zero_point.ravel()[0])
    return (grid.dtype == np.uint8 and point in (0, 127, 129)) or (
        grid.dtype == np.int8 and point in (-1, 1)
    )
