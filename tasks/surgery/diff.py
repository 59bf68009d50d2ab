"""What is different between two graphs, in words."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from schemas.surgery import Difference, GraphDiff
from tasks.surgery.graph import from_model, is_constant, producer
from tasks.surgery.intake import opset_of
from tasks.surgery.quantizers import Grid, grid_of, has_grid, is_dq, is_q

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
        given = (tensor.name for tensor in self.graph.inputs)
        self.origins = {*self.nodes, *given, _CONSTANT.name, _NOTHING.name}
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
    scales, points = [], []
    for name in old.nodes.keys() & new.nodes.keys():
        was, now = _grid(old, old.nodes[name]), _grid(new, new.nodes[name])
        if was is None or now is None:
            continue
        kinds = _integers(was.zero_point), _integers(now.zero_point)
        if kinds[0] != kinds[1]:
            types[f"from {kinds[0]} to {kinds[1]}"].append(name)
        elif not np.array_equal(was.zero_point.ravel(), now.zero_point.ravel()):
            points.append(name)
        same_type = (was.scale.shape, was.scale.dtype) == (now.scale.shape, now.scale.dtype)
        if not same_type or not np.array_equal(was.scale, now.scale):
            scales.append(name)
    found = [
        Difference(
            kind="grid",
            text=f"{len(names)} quantizers went {what}: {_some(sorted(names))}",
            nodes=tuple(sorted(names)),
        )
        for what, names in types.items()
    ]
    for what, names in (("scale", scales), ("zero-point", points)):
        if names:
            text = f"{len(names)} quantizers have another {what}: {_some(sorted(names))}"
            found.append(Difference(kind="grid", text=text, nodes=tuple(sorted(names))))
    return found


def _grid(side: _Side, node: gs.Node) -> Grid | None:
    if not (is_q(node) or is_dq(node)):
        return None
    if has_grid(node):
        return grid_of(node)
    found = [side.values(tensor) for tensor in node.inputs[1:]]
    if len(found) < 2 or found[0] is None or found[1] is None:
        return None
    return Grid(found[0], found[1], int(node.attrs.get("axis", 1)))


def _integers(zero_point: np.ndarray[Any, Any]) -> str:
    first = int(zero_point.ravel()[0]) if zero_point.size else 0
    return f"{zero_point.dtype} zero-point {first}"


def _edges(old: _Side, new: _Side) -> list[Difference]:
    """Operators and outputs that read something else than before."""
    found = []
    for name, before, node in _kept(old, new):
        given = _grid(old, before), _grid(new, node)
        for place, (was, now) in enumerate(zip_longest(before.inputs, node.inputs)):
            # What a quantizer reads is its readers' business, and its grid is compared as one.
            if (is_q(node) or is_dq(node)) and (place == 0 or all(given)):
                continue
            changed = _reads_another(old, new, was, now)
            if changed is not None:
                reads, read = changed
                text = f"{node.op} {name!r} reads {reads} at input {place} where it read {read}"
                found.append(Difference(kind="edge", text=text, nodes=(name,)))
    outputs = {tensor.name: tensor for tensor in old.graph.outputs}
    for now in new.graph.outputs:
        if now.name not in outputs:
            continue
        changed = _reads_another(old, new, outputs[now.name], now)
        if changed is not None:
            text = f"output {now.name!r} is made by {changed[0]} where it was made by {changed[1]}"
            found.append(Difference(kind="edge", text=text, nodes=()))
    return found


def _reads_another(
    old: _Side, new: _Side, was: gs.Tensor | None, now: gs.Tensor | None
) -> tuple[str, str] | None:
    """What a tensor is made by and was, in words; None where that is the same.

    Quantizers and Casts are looked through, but for those that both graphs have. Where the maker
    is gone, that is said already.
    """
    source, makes = (None if x is None else producer(x) for x in (was, now))
    if source is not None and makes is not None and source.op != makes.op:
        return makes.op, source.op
    ways = _way(now), _way(was)
    kept = ways[1][-1].name in new.origins and ways[1][-1] != ways[0][-1]
    if kept or (
        ways[0] != ways[1]
        and all(place.name in old.origins for place in ways[0])
        and all(place.name in new.origins for place in ways[1])
    ):
        end = -1 if ways[0][-1] != ways[1][-1] else 0
        return str(ways[0][end]), str(ways[1][end])
    return None


class _Place(NamedTuple):
    """An output of a node, or an input of the graph."""

    name: str
    output: int = 0

    def __str__(self) -> str:
        if self in (_CONSTANT, _NOTHING):
            return self.name
        return f"output {self.output} of {self.name!r}" if self.output else repr(self.name)


_CONSTANT, _NOTHING = _Place("a constant"), _Place("nothing")


def _way(tensor: gs.Tensor | None) -> list[_Place]:
    """From a tensor back to the node or the input whose values these are but for rounding."""
    way: list[_Place] = []
    while tensor is not None and tensor.name and not is_constant(tensor):
        maker = producer(tensor)
        if maker is None:
            return [*way, _Place(tensor.name)]
        if maker.op == "Constant":
            break
        way.append(_Place(maker.name, [t is tensor for t in maker.outputs].index(True)))
        if not (is_q(maker) or is_dq(maker) or maker.op == "Cast"):
            return way
        tensor = maker.inputs[0]
    return [*way, _NOTHING if tensor is None or not tensor.name else _CONSTANT]


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
