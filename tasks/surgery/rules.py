"""The lint's rules: 1xx is refused or silently run in float, 2xx costs speed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_graphsurgeon as gs

from schemas.base import Target
from tasks.surgery.graph import is_constant, producer
from tasks.surgery.integers import cast_type, integer_type
from tasks.surgery.passes.align_concat import unaligned_inputs
from tasks.surgery.passes.cancel_pairs import undone_by
from tasks.surgery.passes.drop_unused import moved_integers, unused_pairs
from tasks.surgery.passes.float_bias import is_integer_bias
from tasks.surgery.passes.float_epilogue import cutting_quantizer
from tasks.surgery.passes.merge_equal import equal_pairs
from tasks.surgery.passes.narrow_weights import reaches_lowest
from tasks.surgery.passes.residual_add import cut_adds
from tasks.surgery.passes.unsigned_activations import Signs
from tasks.surgery.quantizers import WEIGHTED, grid_of, has_grid, is_constant_dq, is_dq, is_q

Found = Iterator[tuple[str, str]]
TENSORRT: tuple[Target, ...] = ("tensorrt", "tensorrt_rtx")
COMPILERS: tuple[Target, ...] = (*TENSORRT, "openvino")
ALL: tuple[Target, ...] = (*COMPILERS, "onnxruntime")


@dataclass(frozen=True)
class Rule:
    """``find`` yields the node's name and what is wrong with it."""

    code: str
    severity: Literal["error", "warning"]
    kind: Literal["as written", "placement"]
    targets: tuple[Target, ...]
    says: str
    fix: str
    find: Callable[[gs.Graph], Found]


def _quantizers(graph: gs.Graph) -> Iterator[gs.Node]:
    return (node for node in graph.nodes if is_q(node) or is_dq(node))


def _casts(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        if node.op == "Cast" and not node.domain and not is_constant(node.inputs[0]):
            found = integer_type(node.inputs[0])
            if found is not None and cast_type(node).kind in "iu":
                yield node.name, f"{found} to {cast_type(node)}"


def _computed(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if not has_grid(node):
            yield node.name, ""


def _zero_points(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if has_grid(node) and grid_of(node).zero_point.any():
            yield node.name, f"zero-point {int(grid_of(node).zero_point.ravel()[0])}"


def _unsigned(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if has_grid(node) and grid_of(node).dtype == np.uint8:
            yield node.name, ""


def _clipping_unsigned(graph: gs.Graph) -> Found:
    signs = Signs()
    for node in graph.nodes:
        if is_q(node) and has_grid(node) and not is_constant(node.inputs[0]):
            grid = grid_of(node)
            if grid.dtype != np.uint8 or grid.zero_point.any():
                continue
            maker = producer(node.inputs[0])
            if (
                maker is not None
                and maker.op in WEIGHTED
                and not signs.never_negative(node.inputs[0])
            ):
                yield node.name, f"behind {maker.op} node {maker.name!r}"


def _vector_scales(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if has_grid(node):
            grid = grid_of(node)
            if grid.per_tensor and grid.scale.ndim:
                yield node.name, f"shape {grid.scale.shape}"


def _per_channel_activations(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if has_grid(node) and not grid_of(node).per_tensor and not is_constant(node.inputs[0]):
            source = producer(node.inputs[0])
            if is_q(source) and is_constant(source.inputs[0]):  # type: ignore[union-attr]
                continue
            yield node.name, f"{grid_of(node).scale.size} scales along axis {grid_of(node).axis}"


def _integer_biases(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        if is_integer_bias(node):
            yield node.name, str(node.inputs[0].values.dtype)


def _doubles(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        for tensor in node.inputs:
            if is_constant(tensor) and tensor.dtype == np.float64:
                yield node.name, f"initializer {tensor.name!r}"


def _other_types(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if not has_grid(node):
            continue
        dtype = grid_of(node).dtype
        if dtype not in (np.int8, np.uint8, np.int32) or grid_of(node).block_size:
            yield node.name, f"{dtype}, blocks of {grid_of(node).block_size}"


def _half_quantized(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        if node.op in WEIGHTED and not node.domain:
            kinds = [moved_integers(producer(tensor)) for tensor in node.inputs[:2]]
            weights = producer(node.inputs[1])
            if kinds[0] != kinds[1] and (kinds[0] or is_constant_dq(weights)):
                which = "weights" if kinds[0] else "input"
                yield (
                    node.name,
                    f"its {which} are float" if which == "weights" else "its input is float",
                )


def _wide_weights(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        if reaches_lowest(node):
            yield node.name, ""


def _redundant(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        source = undone_by(node)
        if source is not None:
            yield node.name, f"undoes {source.name!r}"


def _duplicates(graph: gs.Graph) -> Found:
    for first, other in equal_pairs(graph, is_q):
        yield other.name, f"same as {first.name!r}"


RULES: tuple[Rule, ...] = (
    Rule(
        "QDQ101",
        "error",
        "as written",
        ALL,
        "a Cast stands between a quantizer and its readers",
        "drop it: the integers already have the type that DequantizeLinear reads",
        _casts,
    ),
    Rule(
        "QDQ102",
        "error",
        "as written",
        ALL,
        "scale or zero-point is computed while the network runs",
        "quantize with calibrated, constant scales",
        _computed,
    ),
    Rule(
        "QDQ103",
        "error",
        "as written",
        TENSORRT,
        "the zero-point is not 0",
        "calibrate symmetrically; uint8 with zero-point 128 is int8 with 0",
        _zero_points,
    ),
    Rule(
        "QDQ104",
        "error",
        "as written",
        TENSORRT,
        "the integers are uint8",
        "use int8 with zero-point 0",
        _unsigned,
    ),
    Rule(
        "QDQ105",
        "error",
        "as written",
        ALL,
        "a tensor with one scale has it as a vector, which means per channel",
        "make scale and zero-point scalars of shape ()",
        _vector_scales,
    ),
    Rule(
        "QDQ106",
        "error",
        "as written",
        COMPILERS,
        "an activation has a scale per channel",
        "quantize activations per tensor",
        _per_channel_activations,
    ),
    Rule(
        "QDQ107",
        "error",
        "as written",
        COMPILERS,
        "a bias is stored as integers behind a DequantizeLinear",
        "store it as a float32 initializer",
        _integer_biases,
    ),
    Rule(
        "QDQ108",
        "error",
        "as written",
        ALL,
        "an initializer is float64",
        "store it as float32",
        _doubles,
    ),
    Rule(
        "QDQ109",
        "error",
        "as written",
        COMPILERS,
        "the integers are neither int8 nor uint8, or scaled in blocks",
        "quantize to int8",
        _other_types,
    ),
    Rule(
        "QDQ110",
        "error",
        "as written",
        ALL,
        "an unsigned quantizer cuts off negative values",
        "use int8 with zero-point 0",
        _clipping_unsigned,
    ),
    Rule(
        "QDQ201",
        "warning",
        "placement",
        TENSORRT,
        "both edges of a residual Add are quantized",
        "leave the convolution's edge float, so that Conv, Add and ReLU are one kernel",
        lambda g: ((n.name, "") for n in cut_adds(g)),
    ),
    Rule(
        "QDQ202",
        "warning",
        "placement",
        COMPILERS,
        "a quantizer undoes the one ahead of it",
        "drop both",
        _redundant,
    ),
    Rule(
        "QDQ203",
        "warning",
        "placement",
        COMPILERS,
        "no integer kernel reads what this pair rounds",
        "drop the pair",
        lambda g: ((n.name, "") for n in unused_pairs(g)),
    ),
    Rule(
        "QDQ204",
        "warning",
        "placement",
        COMPILERS,
        "the inputs of a Concat are on other scales than its output",
        "quantize them on the output's scale",
        lambda g: ((n.name, t) for n, t in unaligned_inputs(g)),
    ),
    Rule(
        "QDQ205",
        "warning",
        "as written",
        COMPILERS,
        "a tensor is quantized twice on one grid",
        "share one quantizer",
        _duplicates,
    ),
    Rule(
        "QDQ206",
        "warning",
        "placement",
        COMPILERS,
        "a quantizer stands between an operator and the function its kernel would compute",
        "quantize behind the function",
        lambda g: ((n.name, "") for n in g.nodes if cutting_quantizer(g, n) is not None),
    ),
    Rule(
        "QDQ207",
        "warning",
        "as written",
        TENSORRT,
        "weights use -128, outside TensorRT's symmetric range",
        "quantize weights to -127..127",
        _wide_weights,
    ),
    Rule(
        "QDQ208",
        "warning",
        "placement",
        COMPILERS,
        "only one factor of a product is quantized, so that it computes in float",
        "quantize both, or neither",
        _half_quantized,
    ),
)
