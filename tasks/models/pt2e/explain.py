"""What becomes of each module and operation of a captured network, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.fx import GraphModule, Node

from schemas.convert import QuantizedModule
from tasks.models.pt2e.capture import module_of
from tasks.models.pt2e.fold import fold_batch_norms
from tasks.models.pt2e.placement import (
    ADDS,
    AVERAGES,
    CONCATS,
    MOVES,
    Placement,
    is_constant,
    is_product,
    label,
    place,
    root,
)
from tasks.models.selection import Selection

aten = torch.ops.aten

# Pointwise functions of one tensor, which a kernel can compute at its end.
_FUNCTIONS = frozenset(
    {"relu", "hardtanh", "clamp", "silu", "hardswish", "gelu", "sigmoid", "hardsigmoid", "tanh"}
    | {"elu", "leaky_relu", "mish", "softplus", "relu6"}
)
_SHOWN = _FUNCTIONS | {"softmax", "layer_norm", "batch_norm", "mul", "max_pool2d", "group_norm"}


@dataclass(frozen=True)
class _Step:
    """A node as it was before BatchNorms were folded away."""

    node: str
    module: str
    operation: str


def explain_graph(
    graph: GraphModule,
    model: nn.Module,
    selection: Selection,
    scales: Mapping[str, float],
) -> tuple[QuantizedModule, ...]:
    """A row for each module and operation that computes, in the order of execution.

    ``graph`` is ``model``'s, as captured; it is folded here. ``scales`` are by the name of the
    node that writes the tensor.
    """
    steps = [
        _Step(node.name, module_of(node), _operation(node))
        for node in graph.graph.nodes
        if _is_shown(node)
    ]
    folded = fold_batch_norms(graph)
    placement = place(graph, selection)
    nodes = {node.name: node for node in graph.graph.nodes}
    leaves = {n: type(m).__name__ for n, m in model.named_modules() if not any(m.children())}
    rows = []
    for step in steps:
        is_module = step.module in leaves
        if step.node in folded:
            layer = nodes[folded[step.node]]
            quantized = placement.quantized(layer)
            became = f"part of {label(layer)}"
            why = "folded into the weights and bias ahead of it"
        elif step.node not in nodes:
            quantized, became, why = False, "float mul and add", _FLOAT[step.operation]
        else:
            quantized, became, why = _fate(nodes[step.node], step.operation, placement, scales)
        rows.append(
            QuantizedModule(
                name=step.module if is_module else ".".join(filter(None, (step.module, step.node))),
                kind=leaves[step.module] if is_module else step.operation,
                became=became,
                quantized=quantized,
                scale=scales.get(step.node),
                why=why,
            )
        )
    return tuple(rows)


def _operation(node: Node) -> str:
    name = getattr(node.target, "__name__", str(node.target))
    return name.split(".")[0].strip("_")


def _is_shown(node: Node) -> bool:
    if node.op != "call_function" or not isinstance(node.meta.get("val"), torch.Tensor):
        return False
    known = is_product(node) or node.target in ADDS | CONCATS | AVERAGES
    if not known and _operation(node) not in _SHOWN:
        return False
    return any(not is_constant(a) for a in node.all_input_nodes)


def _fate(
    node: Node, operation: str, placement: Placement, scales: Mapping[str, float]
) -> tuple[bool, str, str]:
    """Whether a node is quantized, what computes it, and why."""
    why = placement.why.get(node, "")
    if is_product(node) or node.target in CONCATS | AVERAGES:
        quantized = placement.quantized(node)
        return quantized, f"int8 {operation}" if quantized else f"float {operation}", why
    if node.target in ADDS:
        quantized = placement.quantized(node)
        became = "the end of its convolution's kernel" if quantized else f"float {operation}"
        return quantized, became, why or "only residual Adds behind convolutions gain"
    if node.target in MOVES:
        moved = node.name in scales
        why = "moves integers" if moved else "no INT8 operator reads it"
        return moved, f"int8 {operation}" if moved else f"float {operation}", why
    if operation in _FUNCTIONS:
        maker = root(node.all_input_nodes[0])
        behind = placement.quantized(maker) and (is_product(maker) or maker.target in ADDS)
        if behind:
            return True, f"the end of {label(maker)}'s kernel", "a function of what INT8 computed"
        return False, f"float {operation}", "what it reads is in float"
    return False, f"float {operation}", _FLOAT.get(operation, "it has no INT8 kernel")


_FLOAT = {
    "softmax": "attention keeps its softmax in float",
    "layer_norm": "normalization keeps its statistics in float",
    "group_norm": "normalization keeps its statistics in float",
    "batch_norm": "no convolution alone is ahead of it to fold it into",
    "mul": "a factor inside the kernel that computes it",
}
