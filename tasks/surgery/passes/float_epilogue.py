"""What a convolution's kernel computes at its end stays float until its last quantizer."""

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import is_output, only_reader, producer, redirect
from tasks.surgery.quantizers import WEIGHTED, has_grid, is_constant_dq, is_dq, is_q

# Pointwise functions of one tensor that compilers append to a convolution.
ACTIVATIONS = frozenset(
    {
        "Relu",
        "Clip",
        "HardSwish",
        "HardSigmoid",
        "Sigmoid",
        "LeakyRelu",
        "Elu",
        "Tanh",
        "Gelu",
        "Mish",
        "Softplus",
        "Swish",
    }
)
_GATES = frozenset({"Sigmoid", "HardSigmoid"})


class FloatEpilogue(Pass):
    """Rules. NVIDIA's advice not to quantize the outputs of weighted operators by habit.

    1. Q and DQ between Conv, ConvTranspose, Gemm or MatMul and an activation function go: the two
       are one kernel, which rounds once, behind the function.
    2. Where a SiLU is written as x times Sigmoid(x), both its readings of x count as one function.
    3. Q and DQ between Sigmoid or HardSigmoid and a Mul go: the gate of a squeeze-and-excite block
       or of a SiLU is a factor inside the Mul's kernel. The Mul's data input stays quantized.
    4. Left alone: a tensor that an integer kernel reads as well.
    """

    name = "float_epilogue"
    keeps_values = False

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        for node in graph.nodes:
            quantize = cutting_quantizer(graph, node)
            if quantize is not None and redirect(graph, node.outputs[0], quantize.inputs[0]):
                changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [n.name for n in graph.nodes if cutting_quantizer(graph, n) is not None]


def cutting_quantizer(graph: gs.Graph, dequantize: gs.Node) -> gs.Node | None:
    """The QuantizeLinear of a pair that cuts an epilogue in two."""
    if not is_dq(dequantize) or is_constant_dq(dequantize) or not has_grid(dequantize):
        return None
    quantize = producer(dequantize.inputs[0])
    if quantize is None or not is_q(quantize) or not has_grid(quantize):
        return None
    source = producer(quantize.inputs[0])
    real, integers = dequantize.outputs[0], dequantize.inputs[0]
    readers = real.outputs
    if (
        source is None
        or source.domain
        or not readers
        or only_reader(graph, integers) is not dequantize
        or only_reader(graph, quantize.inputs[0]) is not quantize
        or is_output(graph, real)
    ):
        return None
    if source.op in _GATES:
        return quantize if all(r.op == "Mul" and not r.domain for r in readers) else None
    if source.op not in WEIGHTED:
        return None
    functions = [r for r in readers if r.op in ACTIVATIONS and not r.domain]
    others = [r for r in readers if r not in functions]
    closed = functions and all(_closes_silu(r, functions) for r in others)
    return quantize if closed else None


def _closes_silu(node: gs.Node, functions: list[gs.Node]) -> bool:
    """Whether a Mul multiplies x by a function of x."""
    if node.op != "Mul" or node.domain:
        return False
    for tensor in node.inputs:
        maker = producer(tensor)
        if is_dq(maker):
            pair = producer(maker.inputs[0])  # type: ignore[union-attr]
            maker = producer(pair.inputs[0]) if is_q(pair) else None  # type: ignore[union-attr]
        if any(maker is function for function in functions):
            return True
    return False
