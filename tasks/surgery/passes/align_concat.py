"""All inputs of a Concat and its output share one scale."""

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names, in_order, is_output, only_reader, producer
from tasks.surgery.quantizers import Grid, grid_of, has_grid, is_dq, is_q, set_grid


class AlignConcat(Pass):
    """Rules.

    1. The quantizers in front of a Concat take the grid of the one behind it. Joining integers is
       then a copy, and a value is rounded once instead of twice.
    2. Left alone, and said: an input that others read on its own grid, or that no quantizer of
       activations wrote, and a Concat without one grid behind it. Then the compiler rescales.
    """

    name = "align_concat"
    keeps_values = False

    def requires(self, graph: gs.Graph) -> str | None:
        return None if any(n.op == "Concat" for n in graph.nodes) else "the graph has no Concat"

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        # Against the flow: a Concat that another joins takes its grid before it hands it on.
        for node in reversed(in_order(graph.nodes)):
            grid = _grid_behind(graph, node)
            if grid is None:
                continue
            for tensor in node.inputs:
                pair = _pair(graph, node, tensor)
                if pair is None:
                    if not _is_on(tensor, grid):
                        changes.skip(
                            node.name, f"{tensor.name!r} has other readers or no quantizer"
                        )
                elif not grid_of(pair[0]).same_as(grid):
                    for member in pair:
                        set_grid(member, grid.scale, grid.zero_point, names)
                    changes.changed.append(pair[0].name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [tensor for _, tensor in unaligned_inputs(graph)]


def unaligned_inputs(graph: gs.Graph) -> list[tuple[gs.Node, str]]:
    """Concats and their inputs that are on another grid and need not be."""
    return [
        (node, tensor.name)
        for node in graph.nodes
        if (grid := _grid_behind(graph, node)) is not None
        for tensor in node.inputs
        if _pair(graph, node, tensor) is not None and not _is_on(tensor, grid)
    ]


def aligned_concat(graph: gs.Graph, dequantize: gs.Node) -> gs.Node | None:
    """The Concat that a dequantizer alone serves and is on the grid of; None where none."""
    tensor = dequantize.outputs[0]
    for reader in tensor.outputs:
        if _grid_behind(graph, reader) is not None and _pair(graph, reader, tensor) is not None:
            return reader
    return None


def _grid_behind(graph: gs.Graph, node: gs.Node) -> Grid | None:
    if node.op != "Concat" or node.domain or is_output(graph, node.outputs[0]):
        return None
    readers = node.outputs[0].outputs
    if not readers or not all(is_q(reader) and has_grid(reader) for reader in readers):
        return None
    grids = [grid_of(reader) for reader in readers]
    same = all(grid.same_as(grids[0]) for grid in grids[1:])
    return grids[0] if same and grids[0].per_tensor else None


def _pair(graph: gs.Graph, concat: gs.Node, tensor: gs.Tensor) -> tuple[gs.Node, gs.Node] | None:
    """The quantizer in front that serves this Concat and nothing else."""
    dequantize = producer(tensor)
    if dequantize is None or not is_dq(dequantize) or not has_grid(dequantize):
        return None
    quantize = producer(dequantize.inputs[0])
    if quantize is None or not is_q(quantize) or not has_grid(quantize):
        return None
    if only_reader(graph, dequantize.inputs[0]) is not dequantize or is_output(graph, tensor):
        return None
    if any(reader is not concat for reader in tensor.outputs):
        return None
    # Integers that came through a move of integers belong to both sides of it.
    ahead = producer(quantize.inputs[0])
    return None if ahead is not None and is_dq(ahead) else (quantize, dequantize)


def _is_on(tensor: gs.Tensor, grid: Grid) -> bool:
    maker = producer(tensor)
    return maker is not None and is_dq(maker) and has_grid(maker) and grid_of(maker).same_as(grid)
