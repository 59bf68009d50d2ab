"""Tensors of quantized integers: which they are, and which nodes hand them on unchanged."""

from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from tasks.surgery.graph import is_constant, producer
from tasks.surgery.quantizers import grid_of, has_grid, is_q

# They reorder, drop or repeat values and compute none, so that they mean the same on integers,
# on reals, and on either side of a quantizer. MaxPool belongs here because quantization is
# monotone; AveragePool does not. Resize does where it copies its nearest neighbour. Input 0 is the
# data.
_MOVES_VALUES = frozenset(
    {
        "MaxPool",
        "Reshape",
        "Flatten",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Split",
        "Gather",
        "DepthToSpace",
        "SpaceToDepth",
        "Identity",
        "Expand",
        "Tile",
    }
)

# Of these, the ones that do not even move: they rename the dimensions.
RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
# Resize's way that fills in a constant where it looks outside.
_FILLS = "tf_crop_and_resize"


def moves_values(node: gs.Node) -> bool:
    """Whether every output value of a node is one of its input's."""
    if node.domain:
        return False
    if node.op == "Resize":
        mode: str = node.attrs.get("mode", "nearest")
        looks: str = node.attrs.get("coordinate_transformation_mode", "")
        return mode == "nearest" and looks != _FILLS
    return node.op in _MOVES_VALUES


def source_of(tensor: gs.Tensor) -> gs.Node | None:
    """The node that computed a tensor, seen through reshapes."""
    node = producer(tensor)
    while node is not None and node.op in RESHAPES and not node.domain:
        node = producer(node.inputs[0])
    return node


def cast_type(node: gs.Node) -> np.dtype[Any]:
    """What a Cast node casts to."""
    to = node.attrs["to"]
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(to) if isinstance(to, int) else to)


def integer_type(tensor: gs.Tensor) -> np.dtype[Any] | None:
    """The type of a quantized activation, followed back to its QuantizeLinear; None if it has none.

    Value infos of exporters may lie about tensors behind a Cast, so types are followed, not read.
    """
    while not is_constant(tensor) and tensor.inputs:
        node = tensor.inputs[0]
        if is_q(node):
            return grid_of(node).dtype if has_grid(node) else None
        if node.op == "Cast" and not node.domain:
            found = cast_type(node)
            return found if found in (np.dtype(np.int8), np.dtype(np.uint8)) else None
        if not moves_values(node):
            return None
        tensor = node.inputs[0]
    return None
