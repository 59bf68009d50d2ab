"""A scale for a whole tensor is a scalar."""

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q, set_grid


class ScalarScales(Pass):
    """Rules.

    1. Scale and zero-point of one element become 0-d. Shape (1,) means "per axis": compilers then
       run the network in float and say nothing.
    2. The ``axis`` attribute, which means nothing any more, goes with it.
    3. A missing zero-point is written out, so that the integer type is seen and not deduced; one
       for several scales as often as there are scales.
    """

    name = "scalar_scales"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        for node in graph.nodes:
            if _is_settled(node):
                continue
            grid = grid_of(node)
            shape = () if grid.per_tensor else grid.scale.shape
            set_grid(node, grid.scale.reshape(shape), np.resize(grid.zero_point, shape), names)
            node.attrs.pop("output_dtype", None)
            if grid.per_tensor:
                node.attrs.pop("axis", None)
            changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [node.name for node in graph.nodes if not _is_settled(node)]


def _is_settled(node: gs.Node) -> bool:
    if not (is_q(node) or is_dq(node)) or not has_grid(node):
        return True
    grid = grid_of(node)
    explicit = len(node.inputs) > 2 and bool(node.inputs[2].name)
    aligned = grid.scale.shape == grid.zero_point.shape
    return explicit and aligned and (not grid.per_tensor or grid.scale.ndim == 0)
