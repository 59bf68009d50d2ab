"""One quantizer where several do the same."""

from collections.abc import Callable

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import redirect, sweep
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q


class MergeEqual(Pass):
    """Rules.

    1. QuantizeLinear nodes of one grid that read the same tensor become the first of them.
    2. Then so do DequantizeLinear nodes: exporters write one for each reader. And again from 1,
       as what read two of them may now be equal.
    3. One whose output is an output of the graph stays, for its name.
    """

    name = "merge_equal"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        while pairs := _mergeable(graph):
            for first, other in pairs:
                redirect(graph, other.outputs[0], first.outputs[0])
                changes.changed.append(other.name)
            sweep(graph)

    def left(self, graph: gs.Graph) -> list[str]:
        return [other.name for _, other in _mergeable(graph)]


def _mergeable(graph: gs.Graph) -> list[tuple[gs.Node, gs.Node]]:
    """Pairs of quantizers; where there are none, of dequantizers, which may read merged ones."""
    outputs = {id(tensor) for tensor in graph.outputs}
    for kind in (is_q, is_dq):
        pairs = equal_pairs(graph, kind)
        found = [pair for pair in pairs if id(pair[1].outputs[0]) not in outputs]
        if found:
            return found
    return []


def equal_pairs(graph: gs.Graph, kind: Callable[[gs.Node], bool]) -> list[tuple[gs.Node, gs.Node]]:
    """Pairs of nodes of a kind that compute the same, the first node of each group first."""
    groups: dict[tuple[object, ...], gs.Node] = {}
    pairs = []
    for node in graph.nodes:
        if not kind(node) or not has_grid(node):
            continue
        grid = grid_of(node)
        key = (
            id(node.inputs[0]),
            grid.dtype.str,
            grid.scale.tobytes(),
            grid.zero_point.tobytes(),
            None if grid.per_tensor else grid.axis,
            grid.block_size,
        )
        first = groups.setdefault(key, node)
        if first is not node:
            pairs.append((first, node))
    return pairs
