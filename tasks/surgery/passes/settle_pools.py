"""What averages reads integers where it writes them, and floats where it writes those."""

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import in_order, is_output, only_reader, producer, replace_input
from tasks.surgery.integers import moves_values
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q

_AVERAGES = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean", "Resize"})


class SettlePools(Pass):
    """Rules, for TensorRT. NVIDIA's Q/DQ placement advice: an operator without weights runs in INT8
    only with a DequantizeLinear in front and a QuantizeLinear behind, and rounding does not commute
    with averages. Resize to the nearest neighbour is no average and not of this pass.

    1. Q and DQ ahead of a pool, a mean or a Resize whose result nobody quantizes go: it computes in
       float, and they only round what it reads.
    2. One whose result is quantized, and that reads a float tensor which others read through a
       quantizer, reads it through that one too.
    3. Left alone: a pair that something else reads, for then the integers are there already.
    4. Left alone, and said: a quantized result of a tensor that has no quantizer. Its scale is for
       calibration to find.
    """

    name = "settle_pools"
    keeps_values = False

    def requires(self, graph: gs.Graph) -> str | None:
        return None if any(map(_averages, graph.nodes)) else "the graph averages nothing"

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        # From the outputs back: a pair dropped may have been all that quantized the average ahead.
        for node in reversed(in_order(graph.nodes)):
            # Several pairs may stand in a row.
            while (tensor := _better_input(graph, node)) is not None:
                before = producer(node.inputs[0])
                replace_input(node, node.inputs[0], tensor)
                changes.changed.append(node.name)
                if before is not None and is_dq(before):
                    # Out of the way at once: a dead quantizer must not count as a reader.
                    producer(before.inputs[0]).inputs.clear()  # type: ignore[union-attr]
                    before.inputs.clear()
        for node in filter(_averages, graph.nodes):
            if _is_quantized(graph, node.outputs[0]) and not is_dq(producer(node.inputs[0])):
                changes.skip(node.name, f"no quantizer reads its input {node.inputs[0].name!r}")

    def left(self, graph: gs.Graph) -> list[str]:
        return one_sided(graph)


def one_sided(graph: gs.Graph) -> list[str]:
    """Averages that have integers on one side only and could have them on both or on none."""
    return [node.name for node in graph.nodes if _better_input(graph, node) is not None]


def _better_input(graph: gs.Graph, node: gs.Node) -> gs.Tensor | None:
    """The tensor that an average should read instead of its input."""
    if not _averages(node):
        return None
    real = node.inputs[0]
    dequantize = producer(real)
    if _is_quantized(graph, node.outputs[0]):
        return None if is_dq(dequantize) else _quantized_already(real)
    if dequantize is None or not is_dq(dequantize) or only_reader(graph, real) is not node:
        return None
    integers = dequantize.inputs[0]
    quantize = producer(integers)
    if quantize is None or not is_q(quantize) or only_reader(graph, integers) is not dequantize:
        return None
    tensor: gs.Tensor = quantize.inputs[0]
    return tensor


def _averages(node: gs.Node) -> bool:
    return node.op in _AVERAGES and not node.domain and not moves_values(node)


def _is_quantized(graph: gs.Graph, tensor: gs.Tensor) -> bool:
    """Whether all that a tensor becomes is rounded, seen through operators that move values."""
    pending = [tensor]
    while pending:
        current = pending.pop()
        if is_output(graph, current) or not current.outputs:
            return False
        for reader in current.outputs:
            if moves_values(reader):
                pending.extend(reader.outputs)
            elif not is_q(reader):
                return False
    return True


def _quantized_already(tensor: gs.Tensor) -> gs.Tensor | None:
    """What a dequantizer makes of a tensor that some quantizer reads."""
    for quantize in tensor.outputs:
        if is_q(quantize) and has_grid(quantize) and grid_of(quantize).per_tensor:
            for dequantize in quantize.outputs[0].outputs:
                if is_dq(dequantize):
                    return dequantize.outputs[0]
    return None
