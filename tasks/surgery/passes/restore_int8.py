"""Integers that an older exporter mislabelled are int8 again."""

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names, producer
from tasks.surgery.integers import cast_type
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q, set_grid

_INT8, _UINT8 = np.dtype(np.int8), np.dtype(np.uint8)


class RestoreInt8(Pass):
    """Rules.

    1. Exports of qint8 activations by older PyTorch (2.3.1 is one) write the first quantizer as
       int8 with zero-point 0 and all others as uint8 with zero-point 0, each behind a Cast: what
       was -5 becomes 0. Where that mark is found, uint8 with zero-point 0 is read as the int8 that
       the network computed.
    2. uint8 with zero-point 0 in any other graph is meant as it is written.
    3. Values change because the raw graph's are wrong; compare with the network, not with it.
    """

    name = "restore_int8"
    keeps_values = False

    def requires(self, graph: gs.Graph) -> str | None:
        return None if _is_marked(graph) else "no sign of mislabelled qint8 activations"

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        for node in graph.nodes:
            if _is_mislabelled(node):
                grid = grid_of(node)
                set_grid(node, grid.scale, grid.zero_point.astype(np.int8), names)
                changes.changed.append(node.name)
            elif node.op == "Cast" and _is_behind_quantizer(node) and cast_type(node) == _UINT8:
                node.attrs["to"] = int(onnx.TensorProto.INT8)
                node.outputs[0].dtype = _INT8
                changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [n.name for n in graph.nodes if _is_mislabelled(n)]


def _is_marked(graph: gs.Graph) -> bool:
    """Whether the graph has both an int8 quantizer of activations and mislabelled ones."""
    quantizers = [n for n in graph.nodes if is_q(n) and has_grid(n) and _feeds_cast(n)]
    signed = any(grid_of(n).dtype == _INT8 and not grid_of(n).zero_point.any() for n in quantizers)
    return signed and any(_is_mislabelled(n) for n in quantizers)


def _feeds_cast(node: gs.Node) -> bool:
    return any(reader.op == "Cast" for reader in node.outputs[0].outputs)


def _is_behind_quantizer(node: gs.Node) -> bool:
    return is_q(producer(node.inputs[0]))


def _is_mislabelled(node: gs.Node) -> bool:
    if not (is_q(node) or is_dq(node)) or not has_grid(node):
        return False
    grid = grid_of(node)
    if grid.dtype != _UINT8 or grid.zero_point.any() or not grid.per_tensor:
        return False
    if is_q(node):
        return _feeds_cast(node)
    source = producer(node.inputs[0])
    return source is not None and source.op == "Cast" and _is_behind_quantizer(source)
