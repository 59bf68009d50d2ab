"""Activations with a scale per channel get one for the whole tensor."""

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names, is_constant
from tasks.surgery.integer_groups import IntegerGroup, free_groups
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q, set_grid


class PerTensorActivations(Pass):
    """Rules, for compilers that take one scale for an activation (TensorRT).

    1. NNCF gives what a depthwise convolution reads a scale per channel. The largest becomes that
       of the whole tensor: nothing is clipped that was not, and small channels round more coarsely.
    2. A quantizer and all that share its integers change together or not at all.
    3. Scales of weights stay per channel.
    """

    name = "per_tensor_activations"
    keeps_values = False

    def requires(self, graph: gs.Graph) -> str | None:
        found = any(is_q(node) and _is_per_channel(node) for node in graph.nodes)
        return None if found else "every activation has one scale"

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        for group in free_groups(graph, _is_per_channel, changes, starts=is_q):
            if not _share_a_grid(group):
                changes.skip(group.quantizers[0].name, "it shares integers with other grids")
                continue
            for member in group.quantizers:
                grid = grid_of(member)
                set_grid(
                    member,
                    np.asarray(grid.scale.max()),
                    grid.zero_point.ravel()[:1].reshape(()),
                    names,
                )
                member.attrs.pop("axis", None)
                changes.changed.append(member.name)


def _is_per_channel(node: gs.Node) -> bool:
    if not (is_q(node) or is_dq(node)) or is_constant(node.inputs[0]) or not has_grid(node):
        return False
    grid = grid_of(node)
    return not grid.per_tensor and not np.ptp(grid.zero_point)


def _share_a_grid(group: IntegerGroup) -> bool:
    first = grid_of(group.quantizers[0])
    return not group.constants and all(grid_of(m).same_as(first) for m in group.quantizers)
