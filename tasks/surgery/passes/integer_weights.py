"""Weights are stored as int8 integers behind a DequantizeLinear."""

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names, constant, is_constant, is_output, redirect
from tasks.surgery.quantizers import Grid, grid_of, has_grid, is_q


class IntegerWeights(Pass):
    """Rules.

    1. QuantizeLinear of an initializer is computed here; its DequantizeLinear stays. That is the
       form other quantizers write: float weights, Q, DQ.
    2. Weights nobody quantized stay float, and those of int4 or fp8 as they are.
    """

    name = "integer_weights"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        for node in graph.nodes:
            if not _is_weight_quantizer(node):
                continue
            grid = grid_of(node)
            if grid.block_size or is_output(graph, node.outputs[0]):
                changes.skip(node.name, "quantized in blocks, or an output of the graph")
                continue
            integers = quantize(np.asarray(node.inputs[0].values), grid)
            stored = constant(names.fresh(f"{node.inputs[0].name}_quantized"), integers)
            redirect(graph, node.outputs[0], stored)
            changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [
            n.name
            for n in graph.nodes
            if _is_weight_quantizer(n)
            and not grid_of(n).block_size
            and not is_output(graph, n.outputs[0])
        ]


def _is_weight_quantizer(node: gs.Node) -> bool:
    if not is_q(node) or not is_constant(node.inputs[0]) or not has_grid(node):
        return False
    return grid_of(node).dtype.kind in "iu"


def quantize(values: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """What QuantizeLinear computes: divide in float32, round half to even, saturate."""
    scale, point = (
        along_axis(grid.scale, grid, values.ndim),
        along_axis(grid.zero_point, grid, values.ndim),
    )
    low, high = grid.bounds
    quotients = values.astype(np.float32) / scale.astype(np.float32)
    steps = np.rint(quotients).astype(np.float64) + point.astype(np.float64)
    return np.asarray(np.clip(steps, low, high), grid.dtype)


def along_axis(values: NDArray[Any], grid: Grid, ndim: int) -> NDArray[Any]:
    """Per-channel values shaped to broadcast over a tensor of ``ndim`` dimensions."""
    if values.size == 1:
        return values.reshape(())
    shape = [1] * ndim
    shape[grid.axis] = -1
    return values.reshape(shape)
