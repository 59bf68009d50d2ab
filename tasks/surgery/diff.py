"""What is different between two graphs, in words."""

from collections import Counter, defaultdict
from collections.abc import Iterator
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
        *_operators(old, new),
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
        self.origins = {*self.nodes, *(tensor.name for tensor in self.graph.inputs)}
        self.attributes = {
            node.name: {x.name: x.SerializeToString() for x in written.attribute}
            for node, written in zip(self.graph.nodes, model.graph.node, strict=True)
        }

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


def _operators(old: _Side, new: _Side) -> list[Difference]:
    """Nodes that kept their name and are another operator, or the same with other attributes."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, before, node in _kept(old, new):
        if (before.op, before.domain) != (node.op, node.domain):
            groups[f"{_kind(node)} instead of {_kind(before)}"].append(name)
            continue
        was, now = old.attributes[name], new.attributes[name]
        changed = sorted(x for x in was.keys() | now.keys() if was.get(x) != now.get(x))
        if changed:
            groups[f"another {' and '.join(changed)} of {_kind(node)}"].append(name)
    return [
        Difference(
            kind="operator", text=f"{what} ({len(names)}): {_some(names)}", nodes=tuple(names)
        )
        for what, names in groups.items()
    ]


def _kept(old: _Side, new: _Side) -> Iterator[tuple[str, gs.Node, gs.Node]]:
    """Name, node before and node after, of each that both graphs have."""
    for name, node in new.nodes.items():
        if name in old.nodes:
            yield name, old.nodes[name], node


def _kind(node: gs.Node) -> str:
    return f"{node.domain}.{node.op}" if node.domain else str(node.op)


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
    """Operators that read something else than before: through another operator, or another node."""
    found = []
    for name, before, node in _kept(old, new):
        if is_q(node) or is_dq(node):
            continue
        for place, (was, now) in enumerate(zip(before.inputs, node.inputs, strict=False)):
            source, makes = producer(was), producer(now)
            if source is not None and makes is not None and source.op != makes.op:
                reads, read = makes.op, source.op
            else:
                origins = _origin(now), _origin(was)
                if origins[0] == origins[1] or not all(origins) or origins[1] not in new.origins:
                    continue
                reads, read = map(repr, origins)
            text = f"{node.op} {name!r} reads {reads} at input {place} where it read {read}"
            found.append(Difference(kind="edge", text=text, nodes=(name,)))
    return found


def _origin(tensor: gs.Tensor) -> str:
    """The node, or the graph's input, whose values these are but for rounding; "" for constants."""
    maker = producer(tensor)
    while maker is not None and (is_q(maker) or is_dq(maker) or maker.op in ("Cast", "Constant")):
        if not maker.inputs:
            return ""
        tensor = maker.inputs[0]
        maker = producer(tensor)
    return "" if is_constant(tensor) else str(tensor.name if maker is None else maker.name)


def _initializers(old: _Side, new: _Side) -> list[Difference]:
    """Operators whose constants are computed no longer, or are of another type or value."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, before, node in _kept(old, new):
        for place, (was, now) in enumerate(zip(before.inputs, node.inputs, strict=False)):
            if (is_q(node) or is_dq(node)) and place:
                continue
            what = _constant_change(old.values(was), new.values(now), producer(was), now)
            if what:
                groups[f"input {place} of {node.op} {what}"].append(name)
    return [
        Difference(
            kind="initializer",
            text=f"{len(names)} times {what}: {_some(names)}",
            nodes=tuple(names),
        )
        for what, names in groups.items()
    ]


def _constant_change(
    was: np.ndarray[Any, Any] | None,
    now: np.ndarray[Any, Any] | None,
    maker: gs.Node | None,
    tensor: gs.Tensor,
) -> str:
    """What happened to a constant; "" where nothing did, or where it is none."""
    if now is None:
        return ""
    if was is None:
        if maker is None or not is_constant(tensor):
            return ""
        return f"went from {maker.op} to a {now.dtype} initializer"
    if was.dtype != now.dtype:
        return f"went from {was.dtype} to {now.dtype}"
    if was.shape != now.shape:
        return f"went from shape {list(was.shape)} to {list(now.shape)}"
    return "" if np.array_equal(was, now, equal_nan=was.dtype.kind == "f") else "has other values"


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown}, …" if len(names) > _NAMED else shown
