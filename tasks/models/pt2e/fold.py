"""BatchNorm into the convolution or linear layer ahead of it."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

aten = torch.ops.aten

CONVOLUTIONS = frozenset(
    {
        aten.conv1d.default,
        aten.conv2d.default,
        aten.conv3d.default,
        aten.conv1d.padding,
        aten.conv2d.padding,
        aten.conv3d.padding,
    }
)
TRANSPOSED = frozenset(
    {aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input}
)
LINEAR = aten.linear.default


def fold_batch_norms(graph: GraphModule) -> dict[str, str]:
    """Fold every BatchNorm that alone reads a convolution or linear layer.

    Returns the name of the layer's node by that of the folded BatchNorm's. Others, behind a ReLU
    or a concat, or where something else reads the layer too, become a product and a sum: torchao
    spends most of a minute on a graph that has a BatchNorm left.
    """
    folded: dict[str, str] = {}
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target == aten.batch_norm.default:
            layer = _foldable(node)
            if layer is not None:
                _fold(graph, layer, node)
                folded[node.name] = layer.name
            else:
                _write_out(graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return folded


def _foldable(norm: Node) -> Node | None:
    layer = norm.args[0]
    if not isinstance(layer, Node) or len(layer.users) != 1:
        return None
    known = layer.target in CONVOLUTIONS or layer.target in TRANSPOSED
    # A linear layer counts channels last, BatchNorm second: the same in a matrix only.
    flat = layer.target == LINEAR and layer.meta["val"].ndim == 2
    if not known and not flat:
        return None
    if layer.target in TRANSPOSED and _argument(layer, "groups", 6, 1) != 1:
        return None
    constants = [layer.args[1], *norm.args[3:5], *(a for a in norm.args[1:3] if a is not None)]
    if len(layer.args) > 2 and layer.args[2] is not None:
        constants.append(layer.args[2])
    stored = all(isinstance(x, Node) and x.op == "get_attr" for x in constants)
    return layer if stored else None


def _argument(node: Node, name: str, index: int, default: object) -> object:
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


def _fold(graph: GraphModule, layer: Node, norm: Node) -> None:
    _, gamma, beta, mean, variance, _, _, epsilon, _ = (
        value_of(graph, a) if isinstance(a, Node) and i else a for i, a in enumerate(norm.args)
    )
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    assert isinstance(epsilon, float)
    weight = value_of(graph, layer.args[1])
    given = value_of(graph, layer.args[2]) if len(layer.args) > 2 and layer.args[2] else None
    factor = torch.rsqrt(variance + epsilon)
    if isinstance(gamma, Tensor):
        factor = factor * gamma
    axis = 1 if layer.target in TRANSPOSED else 0
    shape = [1] * weight.ndim
    shape[axis] = -1
    bias = (0.0 if given is None else given) - mean
    bias = bias * factor + (beta if isinstance(beta, Tensor) else 0.0)
    stem = layer.name
    with graph.graph.inserting_before(layer):
        stored = [
            _store(graph, f"{stem}_weight", weight * factor.reshape(shape)),
            _store(graph, f"{stem}_bias", bias),
        ]
    layer.args = (layer.args[0], *stored, *layer.args[3:])
    norm.replace_all_uses_with(layer)
    graph.graph.erase_node(norm)


def _write_out(graph: GraphModule, norm: Node) -> None:
    """BatchNorm as ``factor * x + rest``, the constants along dimension 1."""
    values, gamma, beta, mean, variance, _, _, epsilon, _ = norm.args
    assert isinstance(values, Node)
    assert isinstance(epsilon, float)
    factor = torch.rsqrt(value_of(graph, variance) + epsilon)
    if gamma is not None:
        factor = factor * value_of(graph, gamma)
    rest = -value_of(graph, mean) * factor
    if beta is not None:
        rest = rest + value_of(graph, beta)
    shape = [-1, *(1 for _ in norm.meta["val"].shape[2:])]
    with graph.graph.inserting_before(norm):
        stored = [
            _store(graph, f"{norm.name}_{what}", constant.reshape(shape))
            for what, constant in (("factor", factor), ("rest", rest))
        ]
        product = graph.graph.call_function(aten.mul.Tensor, (values, stored[0]))
        whole = graph.graph.call_function(aten.add.Tensor, (product, stored[1]))
    for node in (product, whole):
        node.meta = dict(norm.meta)
    norm.replace_all_uses_with(whole)
    graph.graph.erase_node(norm)


def value_of(graph: GraphModule, node: object) -> Tensor:
    """The tensor that a ``get_attr`` node reads."""
    assert isinstance(node, Node)
    assert isinstance(node.target, str)
    found: object = graph
    for part in node.target.split("."):
        found = getattr(found, part)
    assert isinstance(found, Tensor)
    return found.detach()


def _store(graph: GraphModule, name: str, value: Tensor) -> Node:
    while hasattr(graph, name):
        name += "_folded"
    graph.register_parameter(name, nn.Parameter(value, requires_grad=False))
    node = graph.graph.get_attr(name)
    node.meta["val"] = value
    return node
