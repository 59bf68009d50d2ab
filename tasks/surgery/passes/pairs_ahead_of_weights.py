"""What a convolution or product reads is dequantized right ahead of it."""

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names, in_order, is_output, replace_input
from tasks.surgery.integers import RESHAPES, moves_values
from tasks.surgery.quantizers import WEIGHTED, Grid, grid_of, has_grid, is_dq, quantized_pair


class PairsAheadOfWeights(Pass):
    """Rules, for compilers that look for a DequantizeLinear right ahead of a kernel (TensorRT).

    1. A Concat of values on one grid, and operators that only move values, stay on it. Where a
       convolution or product reads them without a pair between, as NNCF writes GoogLeNet, it gets
       one of the same grid, which rounds nothing anew; so do the Concats and moves on the way.
    2. Reshapes are looked through by compilers and get none; int32, as biases have, gets none.
    """

    name = "pairs_ahead_of_weights"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        for node, grid, readers in _missing(graph):
            output = node.outputs[0]
            _, dequantize = quantized_pair(graph, output, grid, names, f"{node.name}_output")
            for reader in readers:
                replace_input(reader, output, dequantize.outputs[0])
            changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [node.name for node, _, _ in _missing(graph)]


def _missing(graph: gs.Graph) -> list[tuple[gs.Node, Grid, list[gs.Node]]]:
    """Concats and moves on a grid, and their readers that want a pair and find none."""
    wanting = _wanting(graph)
    grids: dict[int, Grid] = {}
    found = []
    for node in in_order(graph.nodes):
        if is_dq(node) and has_grid(node):
            grid = grid_of(node)
            if grid.per_tensor and grid.dtype != np.int32:
                grids[id(node.outputs[0])] = grid
        elif _hands_on(node):
            inputs = node.inputs if node.op == "Concat" else node.inputs[:1]
            known = [grids.get(id(tensor)) for tensor in inputs]
            first = known[0] if known else None
            if first is None or not all(x is not None and x.same_as(first) for x in known):
                continue
            grids[id(node.outputs[0])] = first
            readers = [reader for reader in node.outputs[0].outputs if id(reader) in wanting]
            if readers and node.op not in RESHAPES:
                found.append((node, first, readers))
    return found


def _hands_on(node: gs.Node) -> bool:
    joins = node.op == "Concat" and not node.domain
    return (joins or moves_values(node)) and len(node.outputs) == 1


def _wanting(graph: gs.Graph) -> set[int]:
    """The ids of nodes that are weighted, or hand what they read on to one that is."""
    wanting: set[int] = set()
    for node in reversed(in_order(graph.nodes)):
        weighted = node.op in WEIGHTED and not node.domain
        hands_on = _hands_on(node) and not is_output(graph, node.outputs[0])
        if weighted or (hands_on and any(id(x) in wanting for x in node.outputs[0].outputs)):
            wanting.add(id(node))
    return wanting
