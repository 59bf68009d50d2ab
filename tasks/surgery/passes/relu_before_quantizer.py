"""A ReLU comes before its quantizer, where the operator ahead of it can absorb it."""

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import is_constant, is_output, only_reader, producer
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q


class ReluBeforeQuantizer(Pass):
    """Rules.

    1. x, Q, DQ, Relu becomes x, Relu, Q, DQ: a grid with a zero commutes with max(0, x), because
       rounding is monotone and keeps zero. Exporters split Conv or Add from its ReLU that way.
    2. Only where nothing else reads the quantized tensor.
    3. The Q behind the Relu, if of the same grid, is left to the pass that cancels pairs.
    """

    name = "relu_before_quantizer"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        pending = [node for node in graph.nodes if node.op == "Relu"]
        while pending:
            relu = pending.pop()
            pair = _pair_ahead(graph, relu)
            if pair is None:
                continue
            # Another Relu may now have the pair ahead of it.
            pending.extend(r for r in pair[1].outputs[0].outputs if r.op == "Relu")
            pending.extend(r for r in relu.outputs[0].outputs if r.op == "Relu")
            quantize, dequantize = pair
            after = relu.outputs[0]
            readers = list(after.outputs)
            source, real = quantize.inputs[0], dequantize.outputs[0]
            if is_output(graph, after):
                # Its name belongs to the graph: the last node in line must write it.
                relu.outputs[0] = gs.Variable(f"{after.name}_real", after.dtype, after.shape)
                dequantize.outputs[0] = after
                relu.inputs[0] = source
                quantize.inputs[0] = relu.outputs[0]
            else:
                relu.inputs[0] = source
                quantize.inputs[0] = after
                for reader in readers:
                    for index, tensor in enumerate(reader.inputs):
                        if tensor is after:
                            reader.inputs[index] = real
            changes.changed.append(relu.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [n.name for n in graph.nodes if _pair_ahead(graph, n) is not None]


def _pair_ahead(graph: gs.Graph, relu: gs.Node) -> tuple[gs.Node, gs.Node] | None:
    if relu.op != "Relu" or relu.domain:
        return None
    dequantize = producer(relu.inputs[0])
    if dequantize is None or not is_dq(dequantize) or not has_grid(dequantize):
        return None
    quantize = producer(dequantize.inputs[0])
    if quantize is None or not is_q(quantize) or is_constant(quantize.inputs[0]):
        return None
    alone = (
        only_reader(graph, relu.inputs[0]) is relu
        and only_reader(graph, dequantize.inputs[0]) is dequantize
    )
    same = has_grid(quantize) and grid_of(quantize).same_as(grid_of(dequantize))
    # A zero-point outside the type's range cannot happen, so zero is always on the grid.
    return (quantize, dequantize) if alone and same else None
