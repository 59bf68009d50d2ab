"""Grids that the target cannot be given are refused."""

import numpy as np
import onnx_graphsurgeon as gs

from schemas.base import Target
from schemas.errors import InputError
from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import is_constant
from tasks.surgery.quantizers import grid_of, is_dq, is_q

_OFFSETS = {np.dtype(np.uint8): {0, 127, 128, 129}, np.dtype(np.int8): {-1, 0, 1}}


class Screen(Pass):
    """Rules. Each refusal is one line that names the node and says what to do.

    1. Scales computed while the network runs, scales that are zero, negative or not finite, and
       types besides int8, uint8 and (for biases) int32.
    2. For TensorRT, zero-points that no pass can bring to 0 without losing range.
    """

    name = "screen"
    keeps_values = True

    def __init__(self, target: Target) -> None:
        self._target = target

    def change(self, graph: gs.Graph, changes: Changes) -> None:  # noqa: ARG002
        for node in graph.nodes:
            if is_q(node) or is_dq(node):
                self._screen(node)

    def _screen(self, node: gs.Node) -> None:
        grid = grid_of(node)
        where = f"{node.op} node {node.name!r}"
        stored = is_constant(node.inputs[0])
        allowed = (np.int8, np.uint8, np.int32) if stored and is_dq(node) else (np.int8, np.uint8)
        if grid.dtype not in allowed or grid.block_size:
            kind = "blocks" if grid.block_size else grid.dtype.name
            raise InputError(
                f"{where} quantizes to {kind}: quantize to int8 or uint8, which can be repaired"
            )
        if not grid.is_positive:
            raise InputError(f"{where} has a scale that is not a positive number: calibrate again")
        if not grid.is_complete:
            raise InputError(
                f"{where} has {grid.zero_point.size} zero-points for {grid.scale.size} scales: "
                "export it again"
            )
        if self._target.startswith("tensorrt") and grid.dtype in _OFFSETS:
            points = sorted({int(point) for point in grid.zero_point.ravel()})
            if len(points) > 1 or points[0] not in _OFFSETS[grid.dtype]:
                which = f"zero-point {points[0]}"
                if len(points) > 1:
                    which = f"zero-points from {points[0]} to {points[-1]}"
                raise InputError(
                    f"{where} has {which}, and TensorRT takes only 0: calibrate with a "
                    "symmetric scheme (torch.per_tensor_symmetric)"
                )
