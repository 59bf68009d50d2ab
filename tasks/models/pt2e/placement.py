"""Where quantizers belong in a graph of ATen operators.

NVIDIA's rules for explicit quantization: all inputs of convolutions and matrix products, nothing
behind them by habit, the skip side of a residual Add, equal scales around a concat.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch.fx import GraphModule, Node

from tasks.models.pt2e.capture import module_of
from tasks.models.pt2e.fold import CONVOLUTIONS, LINEAR, TRANSPOSED
from tasks.models.selection import Selection

aten = torch.ops.aten

WEIGHTED = CONVOLUTIONS | TRANSPOSED | {LINEAR}
PRODUCTS = frozenset({aten.matmul.default, aten.bmm.default})
ADDS = frozenset({aten.add.Tensor})
CONCATS = frozenset({aten.cat.default})
AVERAGES = frozenset({aten.avg_pool2d.default, aten.adaptive_avg_pool2d.default, aten.mean.dim})
# One tensor in, one out, the same values: what is read behind them is on the grid ahead of them.
# Not those that take a part, such as slices: of a packed query, key and value each has its own.
MOVES = frozenset(
    {
        aten.max_pool2d.default,
        aten.adaptive_max_pool2d.default,
        aten.view.default,
        aten.reshape.default,
        aten._unsafe_view.default,
        aten.flatten.using_ints,
        aten.transpose.int,
        aten.permute.default,
        aten.unsqueeze.default,
        aten.squeeze.dim,
        aten.clone.default,
        aten.contiguous.default,
        aten.expand.default,
        aten.pixel_shuffle.default,
    }
)

Edge = tuple[Node, Node]


@dataclass
class Placement:
    """``inputs`` says which tensors a node reads in int8; ``outputs`` which nodes write int8.

    Every tensor in one of ``alike`` gets one scale: an edge, or a node for what it writes.
    ``why_float`` is said of convolutions and products that stay in float.
    """

    inputs: dict[Node, list[Node]] = field(default_factory=dict)
    outputs: set[Node] = field(default_factory=set)
    alike: list[list[Edge | Node]] = field(default_factory=list)
    why: dict[Node, str] = field(default_factory=dict)

    def quantized(self, node: Node) -> bool:
        return node in self.inputs

    def edges(self) -> Iterator[Edge]:
        """Every quantized edge, from the tensor's maker to its reader."""
        for reader, tensors in self.inputs.items():
            for tensor in tensors:
                yield tensor, reader


def place(graph: GraphModule, selection: Selection) -> Placement:
    """The placement for a graph without BatchNorms behind convolutions."""
    placement = Placement()
    nodes = [node for node in graph.graph.nodes if node.op == "call_function"]
    varying = _varying(graph)
    for node in nodes:
        _place_product(placement, node, selection, varying)
    _place_skips(placement, nodes, selection)
    _place_concats(placement, nodes, selection)
    _place_averages(placement, nodes, selection)
    roots: dict[Node, list[Edge | Node]] = {}
    for tensor, reader in placement.edges():
        if not is_constant(tensor):
            roots.setdefault(root(tensor), []).append((tensor, reader))
    placement.alike.extend(edges for edges in roots.values() if len(edges) > 1)
    return placement


def is_constant(node: object) -> bool:
    """Whether a node reads a weight."""
    return isinstance(node, Node) and node.op == "get_attr"


def is_product(node: Node) -> bool:
    return node.target in WEIGHTED or node.target in PRODUCTS


def root(tensor: Node) -> Node:
    """The node that computed the values which ``tensor`` holds."""
    while tensor.op == "call_function" and tensor.target in MOVES:
        tensor = tensor.args[0]  # type: ignore[assignment]
    return tensor


def label(node: Node) -> str:
    """A node by the module that it lies in and its own name, as far as that tells more."""
    return ".".join(filter(None, (module_of(node), node.name)))


def _varying(graph: GraphModule) -> set[Node]:
    """What depends on the images; the rest is computed once, such as a table of position biases."""
    found: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op == "placeholder" or not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return found


def _place_product(
    placement: Placement, node: Node, selection: Selection, varying: set[Node]
) -> None:
    if not is_product(node):
        return
    reason = selection.why_float(module_of(node))
    if reason is not None:
        placement.why[node] = reason
        return
    factors = [a for a in node.args[:2] if isinstance(a, Node)]
    if varying.isdisjoint(factors):
        placement.why[node] = "a product of constants"
        return
    placement.inputs[node] = factors
    weights = any(is_constant(factor) for factor in factors)
    placement.why[node] = (
        "its input per tensor and its weights per channel" if weights else "both factors per tensor"
    )


def _place_skips(placement: Placement, nodes: list[Node], selection: Selection) -> None:
    """At an Add of a convolution's output, quantize the other input: one kernel computes both."""
    order = {node: index for index, node in enumerate(nodes)}
    for node in nodes:
        if node.target not in ADDS or selection.why_float(module_of(node)) is not None:
            continue
        sides = [a for a in node.args[:2] if isinstance(a, Node)]
        if len(sides) != 2 or sides[0] is sides[1] or _shape(sides[0]) != _shape(sides[1]):
            continue
        fused = [
            side
            for side in sides
            if side.target in CONVOLUTIONS | TRANSPOSED
            and placement.quantized(side)
            and len(side.users) == 1
        ]
        if not fused:
            placement.why[node] = "adds what no INT8 convolution alone computes, in float"
            continue
        last = max(fused, key=lambda side: order[side])
        skip = sides[1] if last is sides[0] else sides[0]
        if is_constant(skip):
            continue
        placement.inputs[node] = [skip]
        placement.why[node] = (
            f"its skip {label(skip)}; {label(last)} is added in float by its kernel"
        )


def _place_concats(placement: Placement, nodes: list[Node], selection: Selection) -> None:
    """A concat that INT8 operators read gets one scale for all that it joins and its output."""
    wanted = {root(tensor) for tensor, _ in placement.edges()}
    for node in reversed(nodes):
        if node.target not in CONCATS or selection.why_float(module_of(node)) is not None:
            continue
        joined = list(dict.fromkeys(node.args[0]))  # type: ignore[arg-type]
        if node not in wanted:
            placement.why[node] = "nothing in INT8 reads it"
            continue
        if not all(isinstance(x, Node) and not is_constant(x) for x in joined):
            placement.why[node] = "it joins constants"
            continue
        placement.inputs[node] = joined
        placement.outputs.add(node)
        placement.alike.append([node, *((tensor, node) for tensor in joined)])
        placement.why[node] = "one scale for all that it joins and its output"
        wanted.update(root(tensor) for tensor in joined)


def _place_averages(placement: Placement, nodes: list[Node], selection: Selection) -> None:
    """An average between INT8 operators reads what is quantized anyway."""
    present = {tensor for tensor, _ in placement.edges()}
    wanted = {root(tensor) for tensor in present}
    for node in nodes:
        if node.target in AVERAGES and selection.why_float(module_of(node)) is None:
            source = node.args[0]
            assert isinstance(source, Node)
            if node in wanted and source in present:
                placement.inputs[node] = [source]
                placement.why[node] = "its input is quantized for others, and INT8 reads it"
            else:
                placement.why[node] = "what it reads is in float"


def _shape(node: Node) -> tuple[object, ...]:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, torch.Tensor) else (node,)
