"""Which layer surgery moved most."""

import numpy as np
import onnx
from numpy.typing import NDArray

from schemas.surgery import LayerDifference
from tasks.surgery.graph import from_model
from tasks.surgery.passes.fold_constants import FoldConstants
from tasks.surgery.quantizers import WEIGHTED, grid_of, has_grid, is_q
from tasks.surgery.reference import ReferenceSession

IMAGES = 4
_WATCHED = (*WEIGHTED, "Add", "Mul", "Concat", "MaxPool", "GlobalAveragePool", "AveragePool")


def worst_layer(
    raw: onnx.ModelProto, repaired: onnx.ModelProto, images: NDArray[np.float32]
) -> LayerDifference | None:
    """The operator whose output differs most between two graphs, over the first few images.

    ``images: float32[N, C, H, W]``. Differences are counted in steps of the quantizer that reads
    the output in the raw graph, clipped to its range; operators that no quantizer reads, that only
    one graph has, or whose output has another shape (behind a detector's choice), are left out.
    None where none is left.
    """
    shared = _steps_by_output(raw)
    known = {name for node in repaired.graph.node for name in node.output}
    shared = {name: entry for name, entry in shared.items() if name in known}
    if not shared:
        return None
    few = images[: max(IMAGES, fixed_batch(raw))]
    names = tuple(shared)
    before = ReferenceSession(raw, names).run(few)
    after = ReferenceSession(repaired, names).run(few)
    worst: LayerDifference | None = None
    for name, (node, op, step, low, high) in shared.items():
        if before[name].shape != after[name].shape:
            continue
        ours, theirs = (
            np.clip(np.asarray(side[name], np.float64) / step, low, high)
            for side in (after, before)
        )
        steps = float(np.max(np.abs(ours - theirs), initial=0.0))
        if worst is None or steps > worst.max_difference_steps:
            worst = LayerDifference(node=node, op=op, max_difference_steps=steps)
    return worst


def _steps_by_output(
    model: onnx.ModelProto,
) -> dict[str, tuple[str, str, float, float, float]]:
    """Output name to node, operator, scale and the range of the quantizer behind, in steps."""
    graph = from_model(model)
    FoldConstants().apply(graph)
    found = {}
    for node in graph.nodes:
        if node.op not in _WATCHED or node.domain:
            continue
        output = node.outputs[0]
        readers = [r for r in output.outputs if is_q(r)]
        if not readers:
            readers = [
                r
                for activation in output.outputs
                if activation.op == "Relu"
                for r in activation.outputs[0].outputs
                if is_q(r)
            ]
        if readers and has_grid(readers[0]) and grid_of(readers[0]).per_tensor:
            grid = grid_of(readers[0])
            point = float(grid.zero_point.ravel()[0])
            low, high = (bound - point for bound in grid.bounds)
            found[output.name] = (node.name, node.op, float(grid.scale.max()), low, high)
    return found


def fixed_batch(model: onnx.ModelProto) -> int:
    """Images that a graph takes at once; 1 where the batch is open."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    return int(dims[0].dim_value) if dims and dims[0].HasField("dim_value") else 1
