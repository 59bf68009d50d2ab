"""No quantizer where no integer kernel reads it."""

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import in_order, is_constant, is_output, producer, redirect
from tasks.surgery.integers import moves_values
from tasks.surgery.quantizers import WEIGHTED, has_grid, is_constant_dq, is_dq, is_q

# Besides Conv, Gemm and their kin, compilers have integer kernels for these.
_INTEGER_KERNELS = frozenset(
    {
        "Add",
        "Mul",
        "Concat",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Resize",
        "ReduceMean",
        "Relu",
        "Clip",
        "Pad",
        "Sub",
        "Max",
        "Min",
        "LeakyRelu",
        "PRelu",
        "HardSwish",
    }
)


class DropUnused(Pass):
    """Rules.

    1. A Q and DQ pair goes where all that reads it is an output of the graph (behind the last
       Gemm), or operators that compute in float whatever they are given (Softmax,
       LayerNormalization, Sigmoid, ...): it only rounds and costs a kernel.
    2. Operators that move values are looked through.
    3. A Conv, ConvTranspose, Gemm or MatMul whose other factor nobody quantized computes in float
       too.
    """

    name = "drop_unused"
    keeps_values = False

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        users = _Users(graph)
        # From the outputs back: a pair that only served another, dropped one goes too.
        for node in reversed(in_order(graph.nodes)):
            quantize = _quantizer_of(node)
            if quantize is None or users.integer(node.outputs[0]):
                continue
            if redirect(graph, node.outputs[0], quantize.inputs[0]):
                changes.changed.append(node.name)
                # Out of the way at once: a dead quantizer must not count as a reader.
                node.inputs.clear()
                if not quantize.outputs[0].outputs:
                    quantize.inputs.clear()
            else:
                changes.skip(node.name, "the graph's output must keep its name")

    def left(self, graph: gs.Graph) -> list[str]:
        return [node.name for node in unused_pairs(graph)]


def unused_pairs(graph: gs.Graph) -> list[gs.Node]:
    """DequantizeLinear nodes of pairs that no integer kernel reads."""
    users = _Users(graph)
    return [
        node
        for node in graph.nodes
        if (quantize := _quantizer_of(node)) is not None
        and not users.integer(node.outputs[0])
        and not (is_output(graph, node.outputs[0]) and _keeps_its_name(graph, quantize))
    ]


def _keeps_its_name(graph: gs.Graph, quantize: gs.Node) -> bool:
    """Whether an output of the graph cannot be written by what is ahead of the quantizer."""
    source = quantize.inputs[0]
    return producer(source) is None or is_output(graph, source)


def _quantizer_of(node: gs.Node) -> gs.Node | None:
    """The QuantizeLinear straight ahead of a DequantizeLinear."""
    if not is_dq(node) or is_constant(node.inputs[0]):
        return None
    quantize = producer(node.inputs[0])
    if quantize is None or not is_q(quantize) or not (has_grid(node) and has_grid(quantize)):
        return None
    return None if is_constant(quantize.inputs[0]) else quantize


class _Users:
    """Which dequantized tensors some integer kernel reads."""

    def __init__(self, graph: gs.Graph) -> None:
        self._graph = graph

    def integer(self, tensor: gs.Tensor) -> bool:
        seen: set[int] = set()
        pending = [tensor]
        while pending:
            current = pending.pop()
            if id(current) in seen:
                continue
            seen.add(id(current))
            for reader in current.outputs:
                if is_q(reader) or reader.domain:
                    return True
                if _looked_through(reader):
                    pending.extend(reader.outputs)
                elif reader.op in WEIGHTED:
                    if _is_quantized_product(reader):
                        return True
                elif reader.op in _INTEGER_KERNELS:
                    return True
        return False


def _is_quantized_product(node: gs.Node) -> bool:
    """Whether both factors come dequantized, weights among them."""
    makers = [producer(tensor) for tensor in node.inputs[:2]]
    return all(is_dq(m) or is_constant_dq(m) or moved_integers(m) for m in makers)


def _looked_through(node: gs.Node) -> bool:
    # Casts between float types stand around what stays float32 in a float16 graph.
    return moves_values(node) or (node.op == "Cast" and not node.domain)


def moved_integers(node: gs.Node | None) -> bool:
    while node is not None and _looked_through(node):
        node = producer(node.inputs[0])
    return is_dq(node)
