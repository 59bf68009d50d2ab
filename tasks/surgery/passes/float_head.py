"""The classifier behind global pooling computes in float on TensorRT."""

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import (
    Names,
    constant,
    is_output,
    only_reader,
    producer,
    replace_input,
)
from tasks.surgery.integers import RESHAPES
from tasks.surgery.passes.integer_weights import along_axis
from tasks.surgery.quantizers import grid_of, has_grid, is_constant_dq, is_dq, is_q

_POOLS = frozenset({"GlobalAveragePool", "ReduceMean", "AveragePool"})
# 4 MiB of float32: ResNet-18's 1000 classes are below it, those of MobileNetV2 and ResNet-50 above.
LARGEST_WEIGHTS = 1 << 20


class FloatHead(Pass):
    """Rules. Seen in plans of TensorRT for RTX: one kernel instead of two, and no rounding.

    1. A Gemm between global pooling and an output of the graph reads the pooled values in float:
       it is a matrix times one vector an image, which the compiler runs with its bias in one
       kernel, while in INT8 it needs one more to scale and add.
    2. Its weights keep their quantized values, written out in the type of their scales.
    3. Weights of more than a million values stay INT8: in float they take four times the memory and
       the traffic, for one kernel less. MobileNetV2's plan of 107 kernels and 11.9 MB became one of
       106 and 15.6 MB. Which is faster was not measured: that takes the card.
    """

    name = "float_head"
    keeps_values = False

    def requires(self, graph: gs.Graph) -> str | None:
        return None if any(n.op == "Gemm" for n in graph.nodes) else "the graph has no Gemm"

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        for node in graph.nodes:
            pair = _head_pair(graph, node)
            if pair is None:
                continue
            quantize, dequantize = pair
            weights = producer(node.inputs[1])
            assert weights is not None
            grid = grid_of(weights)
            integers = np.asarray(weights.inputs[0].values).astype(np.float32)
            centred = integers - along_axis(grid.zero_point, grid, integers.ndim).astype(np.float32)
            values = (centred * along_axis(grid.scale, grid, integers.ndim)).astype(
                grid.scale.dtype
            )
            node.inputs[1] = constant(names.fresh(f"{weights.inputs[0].name}_float"), values)
            for reader in list(dequantize.outputs[0].outputs):
                replace_input(reader, dequantize.outputs[0], quantize.inputs[0])
            changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [n.name for n in graph.nodes if _head_pair(graph, n) is not None]


def _head_pair(graph: gs.Graph, gemm: gs.Node) -> tuple[gs.Node, gs.Node] | None:
    """The quantizer between global pooling and a Gemm that writes an output of the graph."""
    if gemm.op != "Gemm" or gemm.domain or not is_output(graph, gemm.outputs[0]):
        return None
    weights = producer(gemm.inputs[1])
    if not is_constant_dq(weights) or not has_grid(weights):
        return None
    if weights.inputs[0].values.size > LARGEST_WEIGHTS:  # type: ignore[union-attr]
        return None
    dequantize = _through_reshapes(graph, gemm.inputs[0])
    quantize = producer(dequantize.inputs[0]) if dequantize is not None else None
    if quantize is None or dequantize is None or not is_dq(dequantize) or not is_q(quantize):
        return None
    if only_reader(graph, quantize.outputs[0]) is not dequantize:
        return None
    pool = _through_reshapes(graph, quantize.inputs[0])
    return (quantize, dequantize) if pool is not None and pool.op in _POOLS else None


def _through_reshapes(graph: gs.Graph, tensor: gs.Tensor) -> gs.Node | None:
    """The node that computed a tensor, seen through reshapes that nothing else reads."""
    node = producer(tensor)
    while node is not None and node.op in RESHAPES and only_reader(graph, tensor) is not None:
        tensor = node.inputs[0]
        node = producer(tensor)
    return node if only_reader(graph, tensor) is not None else None
