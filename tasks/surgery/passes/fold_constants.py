"""Constants become initializers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import in_order, is_constant, is_output

Array = NDArray[Any]


class FoldConstants(Pass):
    """Rules.

    1. A Constant node's value becomes an initializer under the node's output name, unread: the
       weights of a large model are not loaded for it.
    2. ConstantOfShape, Cast, Identity, Reshape, Squeeze, Unsqueeze and Transpose of initializers
       are computed here: exporters build zero-points and bias scales that way.
    3. A constant that is an output of the graph stays a node.
    4. Everything else, shape arithmetic and strings included, is left to the compiler.
    """

    name = "fold_constants"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        for node in in_order(graph.nodes):
            if node.domain or len(node.outputs) != 1 or is_output(graph, node.outputs[0]):
                continue
            value = _value(node)
            if value is None:
                continue
            output = node.outputs[0]
            node.outputs.clear()
            output.to_constant(value)
            changes.changed.append(node.name)

    def left(self, graph: gs.Graph) -> list[str]:
        return [
            n.name
            for n in graph.nodes
            if n.op == "Constant"
            and not is_output(graph, n.outputs[0])
            and _constant_value(n) is not None
        ]


def _value(node: gs.Node) -> Any:
    """What a node always computes: an array, or values not loaded yet; None where it depends."""
    if node.op == "Constant":
        return _constant_value(node)
    rule = _RULES.get(node.op)
    given = [tensor for tensor in node.inputs if tensor.name]
    if rule is None or not given or not all(is_constant(tensor) for tensor in given):
        return None
    return rule(node, [np.asarray(tensor.values) for tensor in given])


def _constant_value(node: gs.Node) -> Any:
    (key, value), *_ = node.attrs.items()
    if key == "value":
        # The lazily loaded form is passed on as it is.
        return value._values
    if key in ("value_float", "value_floats"):
        return np.array(value, np.float32)
    if key in ("value_int", "value_ints"):
        return np.array(value, np.int64)
    return None


def _of_shape(node: gs.Node, inputs: list[Array]) -> Array:
    fill = node.attrs.get("value")
    value = np.zeros(1, np.float32) if fill is None else np.asarray(fill.values)
    return np.full(tuple(int(d) for d in inputs[0]), value.ravel()[0], value.dtype)


def _cast(node: gs.Node, inputs: list[Array]) -> Array | None:
    to = node.attrs["to"]
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(to) if isinstance(to, int) else to)
    source = inputs[0]
    # What a float outside the integer's range becomes is not defined.
    if source.dtype.kind not in "iub" and dtype.kind not in "f":
        return None
    return source.astype(dtype)


def _reshape(node: gs.Node, inputs: list[Array]) -> Array | None:
    data, target = inputs[0], [int(d) for d in inputs[1]]
    if node.attrs.get("allowzero", 0) or data.size == 0:
        return None
    return data.reshape([data.shape[i] if d == 0 else d for i, d in enumerate(target)])


def _axes(node: gs.Node, inputs: list[Array]) -> list[int] | None:
    if len(inputs) > 1:
        return [int(a) for a in inputs[1]]
    axes = node.attrs.get("axes")
    return None if axes is None else [int(a) for a in axes]


def _squeeze(node: gs.Node, inputs: list[Array]) -> Array:
    axes = _axes(node, inputs)
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


def _unsqueeze(node: gs.Node, inputs: list[Array]) -> Array | None:
    axes = _axes(node, inputs)
    return None if axes is None else np.expand_dims(inputs[0], tuple(axes))


def _transpose(node: gs.Node, inputs: list[Array]) -> Array:
    return np.transpose(inputs[0], node.attrs.get("perm"))


_RULES: dict[str, Callable[[gs.Node, list[Array]], Array | None]] = {
    "ConstantOfShape": _of_shape,
    "Cast": _cast,
    "Identity": lambda _, inputs: inputs[0],
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
}
