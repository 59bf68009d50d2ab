"""What is different between two graphs, in words."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from schemas.surgery import Difference, GraphDiff
from tasks.surgery.graph import from_model, is_constant, producer
from tasks.surgery.intake import opset_of
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q

_NAMED = 4


def diff(before: onnx.ModelProto, after: onnx.ModelProto) -> GraphDiff:
    """How ``after`` differs from ``before``: nodes are matched by name, tensors by their makers."""
    old, new = _Side(before), _Side(after)
    differences = [
        *_interface(before, after),
        *_nodes(old, new),
        *_grids(old, new),
        *_edges(old, new),
        *_initializers(old, new),
    ]
    return GraphDiff(
        same=not differences,
        nodes_before=len(before.graph.node),
        nodes_after=len(after.graph.node),
        differences=tuple(differences),
    )


class _Side:
    """One graph, with what the comparison asks of it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = from_model(model)
        self.nodes: dict[str, gs.Node] = {node.name: node for node in self.graph.nodes}
        self.operators = Counter(node.op for node in self.graph.nodes)

    def values(self, tensor: gs.Tensor) -> np.ndarray[Any, Any] | None:
        """A constant, whether an initializer or a Constant node."""
        if is_constant(tensor):
            return np.asarray(tensor.values)
        maker = producer(tensor)
        if maker is not None and maker.op == "Constant" and "value" in maker.attrs:
            return np.asarray(maker.attrs["value"].values)
        return None


def _interface(before: onnx.ModelProto, after: onnx.ModelProto) -> list[Difference]:
    found = []
    if opset_of(before) != opset_of(after):
        text = f"the operator set went from {opset_of(before)} to {opset_of(after)}"
        found.append(Difference(kind="interface", text=text, nodes=()))
    for side, given, kept in (
        ("inputs", before.graph.input, after.graph.input),
        ("outputs", before.graph.output, after.graph.output),
    ):
        if list(given) != list(kept):
            names = ", ".join(x.name for x in given), ", ".join(x.name for x in kept)
            changed = f"from {names[0]} to {names[1]}" if names[0] != names[1] else "shape or type"
            found.append(
                Difference(kind="interface", text=f"the {side} changed {changed}", nodes=())
            )
    return found


def _nodes(old: _Side, new: _Side) -> list[Difference]:
    found = []
    for kind, verb, here, there in (("removed", "gone", old, new), ("added", "new", new, old)):
        groups: dict[str, list[str]] = defaultdict(list)
        for name, node in here.nodes.items():
            if name not in there.nodes:
                groups[node.op].append(name)
        for op, names in sorted(groups.items(), key=lambda item: -len(item[1])):
            counts = f"{old.operators[op]} before, {new.operators[op]} after"
            text = f"{len(names)} {op} {verb} ({counts}): {_some(names)}"
            found.append(Difference(kind=kind, text=text, nodes=tuple(names)))
    return found


def _grids(old: _Side, new: _Side) -> list[Difference]:
    """Quantizers that kept their name and changed their integers or their scale."""
    types: dict[str, list[str]] = defaultdict(list)
    scales = []
    for name in old.nodes.keys() & new.nodes.keys():
        was, now = _grid(old, old.nodes[name]), _grid(new, new.nodes[name])
        if was is None or now is None:
            continue
        (scale_before, type_before), (scale_after, type_after) = was, now
        if type_before != type_after:
            types[f"from {type_before} to {type_after}"].append(name)
        same_shape = scale_before.shape == scale_after.shape
        if not same_shape or not np.array_equal(scale_before, scale_after):
            scales.append(name)
    found = [
        Difference(
            kind="grid",
            text=f"{len(names)} quantizers went {what}: {_some(sorted(names))}",
            nodes=tuple(sorted(names)),
        )
        for what, names in types.items()
    ]
    if scales:
        text = f"{len(scales)} quantizers have another scale: {_some(sorted(scales))}"
        found.append(Difference(kind="grid", text=text, nodes=tuple(sorted(scales))))
    return found


def _grid(side: _Side, node: gs.Node) -> tuple[np.ndarray[Any, Any], str] | None:
    if not (is_q(node) or is_dq(node)):
        return None
    if has_grid(node):
        grid = grid_of(node)
        scale, point = grid.scale, grid.zero_point
    else:
        found = [side.values(tensor) for tensor in node.inputs[1:]]
        if len(found) < 2 or found[0] is None or found[1] is None:
            return None
        scale, point = found[0], found[1]
    first = int(point.ravel()[0]) if point.size else 0
    return scale, f"{point.dtype} zero-point {first}"


def _edges(old: _Side, new: _Side) -> list[Difference]:
    """Operators that read something else than before, seen through nodes that were dropped."""
    found = []
    for name, node in new.nodes.items():
        before = old.nodes.get(name)
        if before is None or is_q(node) or is_dq(node):
            continue
        for place, (was, now) in enumerate(zip(before.inputs, node.inputs, strict=False)):
            source, makes = producer(was), producer(now)
            if source is None or makes is None or source.op == makes.op:
                continue
            text = f"{node.op} {name!r} reads {makes.op} at input {place} where it read {source.op}"
            found.append(Difference(kind="edge", text=text, nodes=(name,)))
    return found


def _initializers(old: _Side, new: _Side) -> list[Difference]:
    """Operators whose constants are of another type."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, node in new.nodes.items():
        before = old.nodes.get(name)
        if before is None or is_q(node) or is_dq(node):
            continue
        for place, (was, now) in enumerate(zip(before.inputs, node.inputs, strict=False)):
            if is_constant(now) and not is_constant(was) and producer(was) is not None:
                maker = producer(was)
                if maker.op != "Constant":  # type: ignore[union-attr]
                    what = f"{maker.op} to a {now.dtype} initializer"  # type: ignore[union-attr]
                    groups[f"input {place} of {node.op} went from {what}"].append(name)
    return [
        Difference(
            kind="initializer",
            text=f"{len(names)} times {what}: {_some(names)}",
            nodes=tuple(names),
        )
        for what, names in groups.items()
    ]


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown}, …" if len(names) > _NAMED else shown
