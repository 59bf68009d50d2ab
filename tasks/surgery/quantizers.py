"""QuantizeLinear and DequantizeLinear nodes, and the grids they stand for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from schemas.errors import InputError
from tasks.surgery.graph import Names, constant, is_constant

Q = "QuantizeLinear"
DQ = "DequantizeLinear"
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Grid:
    """Real value = scale * (integer - zero_point).

    ``scale``: float[] per tensor or float[channels] along ``axis``; ``zero_point`` alike, of the
    integer type. ONNX operators QuantizeLinear and DequantizeLinear.
    """

    scale: NDArray[Any]
    zero_point: NDArray[Any]
    axis: int
    block_size: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.zero_point.dtype

    @property
    def per_tensor(self) -> bool:
        return self.scale.size == 1

    @property
    def is_positive(self) -> bool:
        """Whether every scale is a number above 0."""
        return bool(np.all(np.isfinite(self.scale)) and np.all(self.scale > 0))

    @property
    def is_complete(self) -> bool:
        """Whether there are as many zero-points as scales, or one."""
        return self.zero_point.size in (1, self.scale.size)

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest integer of the type."""
        info = np.iinfo(self.dtype)
        return int(info.min), int(info.max)

    @property
    def starts_at_zero(self) -> bool:
        """Whether the smallest integer stands for 0, so that nothing negative is on the grid."""
        return bool((self.zero_point == self.bounds[0]).all())

    def same_as(self, other: "Grid") -> bool:
        """Whether both give every integer the same meaning."""
        return (
            self.dtype == other.dtype
            and self.scale.dtype == other.scale.dtype
            and self.block_size == other.block_size
            and (self.per_tensor or self.axis == other.axis)
            and self.scale.size == other.scale.size
            and bool(np.array_equal(self.scale.ravel(), other.scale.ravel()))
            and bool(np.array_equal(self.zero_point.ravel(), other.zero_point.ravel()))
        )


def is_q(node: gs.Node | None) -> bool:
    return node is not None and node.op == Q and not node.domain


def is_dq(node: gs.Node | None) -> bool:
    return node is not None and node.op == DQ and not node.domain


def is_constant_dq(node: gs.Node | None) -> bool:
    """Whether a node dequantizes an initializer: weights or a bias."""
    return is_dq(node) and is_constant(node.inputs[0])  # type: ignore[union-attr]


def has_grid(node: gs.Node) -> bool:
    """Whether scale and zero-point are known before the network runs."""
    return all(is_constant(tensor) for tensor in node.inputs[1:] if tensor.name)


def grid_of(node: gs.Node) -> Grid:
    """The grid of a Q or DQ node.

    Raises InputError where its scale or zero-point is computed while the network runs.
    """
    if not has_grid(node):
        raise InputError(
            f"{node.op} node {node.name!r} gets its scale or zero-point from other nodes: "
            "quantize with calibrated, constant scales, which alone can be compiled"
        )
    scale = np.asarray(node.inputs[1].values)
    if len(node.inputs) > 2 and node.inputs[2].name:
        zero_point = np.asarray(node.inputs[2].values)
    else:
        zero_point = np.zeros(scale.shape, _integer_type(node))
    return Grid(
        scale, zero_point, int(node.attrs.get("axis", 1)), int(node.attrs.get("block_size", 0))
    )


def _integer_type(node: gs.Node) -> np.dtype[Any]:
    """The integer type of a Q or DQ without a zero-point."""
    if is_dq(node):
        tensor = node.inputs[0]
        known = tensor.values.dtype if is_constant(tensor) else tensor.dtype
        if known is None and tensor.inputs and is_q(tensor.inputs[0]):
            return grid_of(tensor.inputs[0]).dtype
        return np.dtype(known if known is not None else np.uint8)
    declared = int(node.attrs.get("output_dtype", 0))
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(declared) if declared else np.uint8)


def set_grid(node: gs.Node, scale: NDArray[Any], zero_point: NDArray[Any], names: Names) -> None:
    """Give a Q or DQ constants of its own; what a Q writes has the zero-point's type."""
    node.inputs[1] = constant(names.fresh(f"{node.name}_scale"), scale)
    point = constant(names.fresh(f"{node.name}_zero_point"), zero_point)
    if len(node.inputs) > 2:
        node.inputs[2] = point
    else:
        node.inputs.append(point)
    if is_q(node):
        node.outputs[0].dtype = zero_point.dtype


def quantized_pair(
    graph: gs.Graph, tensor: gs.Tensor, grid: Grid, names: Names, stem: str
) -> tuple[gs.Node, gs.Node]:
    """New Q and DQ nodes that read ``tensor``; nobody reads the DQ yet."""
    between = gs.Variable(names.fresh(f"{stem}_quantized"), grid.dtype, tensor.shape)
    after = gs.Variable(names.fresh(f"{stem}_dequantized"), grid.scale.dtype, tensor.shape)
    quantize = gs.Node(Q, names.fresh(f"{stem}_QuantizeLinear"), inputs=[tensor], outputs=[between])
    dequantize = gs.Node(
        DQ, names.fresh(f"{stem}_DequantizeLinear"), inputs=[between], outputs=[after]
    )
    for node in (quantize, dequantize):
        scale = constant(names.fresh(f"{node.name}_scale"), grid.scale)
        point = constant(names.fresh(f"{node.name}_zero_point"), grid.zero_point)
        node.inputs.extend([scale, point])
        graph.nodes.append(node)
    return quantize, dequantize
