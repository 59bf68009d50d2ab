"""Quantizers move to where integers are computed: along operators that only move values."""

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import (
    Names,
    in_order,
    is_output,
    producer,
    redirect,
    replace_input,
)
from tasks.surgery.integers import RESHAPES, moves_values, source_of
from tasks.surgery.quantizers import (
    WEIGHTED,
    Grid,
    grid_of,
    has_grid,
    is_dq,
    is_q,
    quantized_pair,
)


class PlaceAroundMoves(Pass):
    """Rules. Rounding is monotone and pointwise, so it commutes with all of these.

    1. MaxPool, Transpose, Slice, Resize to the nearest neighbour and the like between float and a
       QuantizeLinear get the same quantizer in front as well: a non-weighted operator runs in INT8
       only with integers on both sides, and the operator ahead can then write integers.
    2. Behind a DequantizeLinear and ahead of Conv or Gemm they get the pair behind as well.
    3. An operator that moves nothing (Reshape, Flatten, Squeeze, Unsqueeze) needs one pair, in
       front: there the operator ahead can round in its own kernel, and compilers look through.
    """

    name = "place_around_moves"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        # Against the flow, so that a pair climbs a whole chain at once.
        for node in reversed(in_order(graph.nodes)):
            if _settle_reshape(graph, node, names) or _add_in_front(graph, node, names):
                changes.changed.append(node.name)
            if _add_behind(graph, node, names):
                changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [n.name for n in graph.nodes if _grid_behind(graph, n) and _reads_float(n)]


def _is_sandwiched(node: gs.Node) -> bool:
    """Whether a node needs integers on both sides to move integers."""
    return moves_values(node) and node.op not in (*RESHAPES, "Split")


def _reads_float(node: gs.Node) -> bool:
    if not _is_sandwiched(node):
        return False
    source = source_of(node.inputs[0])
    return source is not None and not is_dq(source)


def _grid_behind(graph: gs.Graph, node: gs.Node) -> Grid | None:
    """The one per-tensor grid on which everything behind a moving operator is quantized."""
    if not moves_values(node) or len(node.outputs) != 1:
        return None
    output = node.outputs[0]
    if is_output(graph, output) or not output.outputs:
        return None
    if not all(is_q(reader) and has_grid(reader) for reader in output.outputs):
        return None
    grids = [grid_of(reader) for reader in output.outputs]
    if not grids[0].per_tensor or not all(grid.same_as(grids[0]) for grid in grids[1:]):
        return None
    return grids[0]


def _pair_in_front(node: gs.Node) -> tuple[gs.Node, gs.Node] | None:
    dequantize = source_of(node.inputs[0]) if node.inputs else None
    if dequantize is None or not is_dq(dequantize) or not has_grid(dequantize):
        return None
    quantize = producer(dequantize.inputs[0])
    if quantize is None or not is_q(quantize) or not has_grid(quantize):
        return None
    return quantize, dequantize


def _settle_reshape(graph: gs.Graph, node: gs.Node, names: Names) -> bool:
    """Let one pair stand in front of a reshape, for the ones behind it."""
    grid = _grid_behind(graph, node)
    if node.op not in RESHAPES or grid is None or producer(node.inputs[0]) is None:
        return False
    behind = list(node.outputs[0].outputs)
    ends = [end for quantize in behind for end in quantize.outputs[0].outputs]
    outputs = [end.outputs[0] for end in ends] + [quantize.outputs[0] for quantize in behind]
    if not all(is_dq(end) for end in ends) or any(is_output(graph, t) for t in outputs):
        return False
    pair = _pair_in_front(node)
    if pair is None:
        if is_dq(source_of(node.inputs[0])):
            return False
        pair = quantized_pair(graph, node.inputs[0], grid, names, f"{node.name}_input")
        node.inputs[0] = pair[1].outputs[0]
    elif not all(grid_of(member).same_as(grid) for member in pair):
        return False
    for end in ends:
        redirect(graph, end.outputs[0], node.outputs[0])
    return True


def _add_in_front(graph: gs.Graph, node: gs.Node, names: Names) -> bool:
    if not _reads_float(node):
        return False
    grid = _grid_behind(graph, node)
    if grid is None:
        return False
    pair = quantized_pair(graph, node.inputs[0], grid, names, f"{node.name}_input")
    node.inputs[0] = pair[1].outputs[0]
    return True


def _add_behind(graph: gs.Graph, node: gs.Node, names: Names) -> bool:
    if not _is_sandwiched(node) or len(node.outputs) != 1:
        return False
    pair = _pair_in_front(node)
    output = node.outputs[0]
    readers = [r for r in output.outputs if r.op in WEIGHTED and not r.domain]
    if pair is None or not readers or not grid_of(pair[1]).per_tensor:
        return False
    _, dequantize = quantized_pair(graph, output, grid_of(pair[1]), names, f"{node.name}_output")
    for reader in readers:
        replace_input(reader, output, dequantize.outputs[0])
    return True
