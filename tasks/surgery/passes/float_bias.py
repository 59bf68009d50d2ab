"""Biases and single numbers are float32 initializers."""

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names, constant, is_output, producer, redirect
from tasks.surgery.passes.integer_weights import along_axis
from tasks.surgery.quantizers import grid_of, has_grid, is_constant_dq


class FloatBias(Pass):
    """Rules.

    1. DequantizeLinear of an int32 initializer is computed here, whoever reads it: input 2 of
       Conv, ConvTranspose and Gemm, or the Add behind a MatMul. TensorRT refuses int32 there.
    2. So is an 8-bit initializer in a bias's place.
    3. So is an 8-bit integer without dimensions, the 0.5 of a GELU: TensorRT for RTX refuses it.
    4. The product is float32: int32 times float32 gives float64 in NumPy, which the checker
       rejects in a float32 graph.
    5. Biases that are float already, and operators without one, are untouched.
    """

    name = "float_bias"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        for node in graph.nodes:
            if not _is_folded(node):
                continue
            if is_output(graph, node.outputs[0]):
                changes.skip(node.name, "an output of the graph")
                continue
            bias = constant(names.fresh(f"{node.inputs[0].name}_float"), _dequantize(node))
            redirect(graph, node.outputs[0], bias)
            changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [n.name for n in graph.nodes if _is_folded(n) and not is_output(graph, n.outputs[0])]


def _is_folded(node: gs.Node) -> bool:
    return is_integer_bias(node) or is_integer_number(node)


def is_integer_number(node: gs.Node) -> bool:
    """Whether a node dequantizes one 8-bit integer of shape ()."""
    if not is_constant_dq(node) or not has_grid(node):
        return False
    values = node.inputs[0].values
    return values.ndim == 0 and values.dtype in (np.int8, np.uint8)


def is_integer_bias(node: gs.Node) -> bool:
    if not is_constant_dq(node) or not has_grid(node) or not node.outputs[0].outputs:
        return False
    values = node.inputs[0].values
    return values.dtype == np.int32 or all(
        _is_bias_place(reader, node.outputs[0]) for reader in node.outputs[0].outputs
    )


def _is_bias_place(reader: gs.Node, tensor: gs.Tensor) -> bool:
    if reader.op in ("Conv", "ConvTranspose", "Gemm"):
        return len(reader.inputs) > 2 and reader.inputs[2] is tensor
    if reader.op != "Add" or tensor.inputs[0].inputs[0].values.ndim > 1:
        return False
    others = [producer(t) for t in reader.inputs if t is not tensor]
    return any(n is not None and n.op == "MatMul" for n in others)


def _dequantize(node: gs.Node) -> NDArray[Any]:
    grid = grid_of(node)
    integers = np.asarray(node.inputs[0].values).astype(np.int64)
    centred = integers - along_axis(grid.zero_point, grid, integers.ndim).astype(np.int64)
    scale = along_axis(grid.scale, grid, integers.ndim)
    return np.asarray(centred.astype(scale.dtype) * scale, scale.dtype)
