"""What the lint looks for: each check yields a node's name and what is wrong with it."""

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.graph import is_constant, producer
from tasks.surgery.integers import cast_type, integer_type
from tasks.surgery.passes.cancel_pairs import undone_by
from tasks.surgery.passes.drop_unused import moved_integers
from tasks.surgery.passes.float_bias import is_integer_bias, is_integer_number
from tasks.surgery.passes.merge_equal import equal_pairs
from tasks.surgery.passes.narrow_weights import reaches_lowest
from tasks.surgery.passes.unsigned_activations import Signs
from tasks.surgery.quantizers import WEIGHTED, grid_of, has_grid, is_constant_dq, is_dq, is_q

Found = Iterator[tuple[str, str]]


def _quantizers(graph: gs.Graph) -> Iterator[gs.Node]:
    return (node for node in graph.nodes if is_q(node) or is_dq(node))


def casts(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        if node.op == "Cast" and not node.domain and not is_constant(node.inputs[0]):
            found = integer_type(node.inputs[0])
            if found is not None and cast_type(node).kind in "iu":
                yield node.name, f"{found} to {cast_type(node)}"


def computed(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if not has_grid(node):
            yield node.name, ""


def zero_points(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if has_grid(node) and grid_of(node).zero_point.any():
            yield node.name, f"zero-point {int(grid_of(node).zero_point.ravel()[0])}"


def unsigned(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if has_grid(node) and grid_of(node).dtype == np.uint8:
            yield node.name, ""


def clipping_unsigned(graph: gs.Graph) -> Found:
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


def vector_scales(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if has_grid(node):
            grid = grid_of(node)
            if grid.per_tensor and grid.scale.ndim:
                yield node.name, f"shape {grid.scale.shape}"


def per_channel_activations(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if has_grid(node) and not grid_of(node).per_tensor and not is_constant(node.inputs[0]):
            source = producer(node.inputs[0])
            if is_q(source) and is_constant(source.inputs[0]):  # type: ignore[union-attr]
                continue
            yield node.name, f"{grid_of(node).scale.size} scales along axis {grid_of(node).axis}"


def integer_biases(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        if is_integer_bias(node):
            yield node.name, str(node.inputs[0].values.dtype)


def integer_numbers(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        if is_integer_number(node):
            yield node.name, ""


def doubles(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        for tensor in node.inputs:
            if is_constant(tensor) and tensor.dtype == np.float64:
                yield node.name, f"initializer {tensor.name!r}"


def other_types(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if not has_grid(node):
            continue
        dtype = grid_of(node).dtype
        if dtype not in (np.int8, np.uint8, np.int32) or grid_of(node).block_size:
            yield node.name, f"{dtype}, blocks of {grid_of(node).block_size}"


def broken_grids(graph: gs.Graph) -> Found:
    for node in _quantizers(graph):
        if not has_grid(node):
            continue
        grid = grid_of(node)
        if not grid.is_positive:
            yield node.name, "a scale that is not a positive number"
        elif not grid.is_complete:
            yield node.name, f"{grid.zero_point.size} zero-points for {grid.scale.size} scales"


def half_quantized(graph: gs.Graph) -> Found:
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


def wide_weights(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        if reaches_lowest(node):
            yield node.name, ""


def redundant(graph: gs.Graph) -> Found:
    for node in graph.nodes:
        source = undone_by(node)
        if source is not None:
            yield node.name, f"undoes {source.name!r}"


def duplicates(graph: gs.Graph) -> Found:
    for first, other in equal_pairs(graph, is_q):
        yield other.name, f"same as {first.name!r}"
