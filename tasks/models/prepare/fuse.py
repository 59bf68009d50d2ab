"""Convolution or linear layer, BatchNorm and ReLU as one module, which has one output grid."""

from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.ao.nn import intrinsic
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from tasks.models.prepare.clamped import Clamped
from tasks.models.prepare.operations import kind_of
from tasks.models.selection import Selection

_NORMS: dict[type, type] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
    nn.Linear: nn.BatchNorm1d,
}
_WITH_RELU: dict[type, Any] = {
    nn.Conv1d: intrinsic.ConvReLU1d,
    nn.Conv2d: intrinsic.ConvReLU2d,
    nn.Conv3d: intrinsic.ConvReLU3d,
    nn.Linear: intrinsic.LinearReLU,
}
# What quantization-aware training starts from; its own BatchNorm goes on learning.
_FOR_TRAINING: dict[tuple[type, bool], Any] = {
    (nn.Conv1d, False): intrinsic.ConvBn1d,
    (nn.Conv1d, True): intrinsic.ConvBnReLU1d,
    (nn.Conv2d, False): intrinsic.ConvBn2d,
    (nn.Conv2d, True): intrinsic.ConvBnReLU2d,
    (nn.Conv3d, False): intrinsic.ConvBn3d,
    (nn.Conv3d, True): intrinsic.ConvBnReLU3d,
    (nn.Linear, False): intrinsic.LinearBn1d,
}


@dataclass(frozen=True)
class Part:
    """A module that another one took in: its name and its class."""

    name: str
    kind: str


def fuse(
    graph: fx.GraphModule, selection: Selection, *, for_training: bool
) -> dict[str, tuple[Part, ...]]:
    """Fuse what can be, in place; the fused module has the first one's name.

    A ReLU6 is fused like a ReLU and stays what it is while observers watch, so that the
    convolution's grid is that of the clamped values; see ``Clamped``.

    Returns the parts of each fused module, itself first.
    """
    fused: dict[str, tuple[Part, ...]] = {}
    erased: set[fx.Node] = set()
    # A ReLU6 stays for itself where fake quantization, not a grid of its own, sees its input.
    relus: tuple[type, ...] = (nn.ReLU,) if for_training else (nn.ReLU, nn.ReLU6)
    for node in list(graph.graph.nodes):
        if node in erased or node.op != "call_module" or not _wanted(graph, node, selection):
            continue
        first = graph.get_submodule(node.target)
        kind = type(first)
        norm = _only_reader(graph, node, (_NORMS[kind],), selection)
        relu = _only_reader(graph, norm or node, relus, selection)
        if (
            for_training
            and relu is not None
            and norm is not None
            and (kind, True) not in _FOR_TRAINING
        ):
            relu = None
        if norm is None and relu is None:
            continue
        parts = [x for x in (node, norm, relu) if x is not None]
        modules = [graph.get_submodule(str(x.target)) for x in parts]
        fused[node.target] = tuple(
            Part(str(x.target), type(module).__name__)
            for x, module in zip(parts, modules, strict=True)
        )
        parent, _, name = node.target.rpartition(".")
        joined = _for_training(modules) if for_training else _for_inference(modules)
        setattr(graph.get_submodule(parent), name, joined)
        for gone in parts[1:]:
            gone.replace_all_uses_with(node)
            graph.graph.erase_node(gone)
            erased.add(gone)
            # By name: the fused module holds the same ReLU6, which counts as used.
            graph.delete_submodule(str(gone.target))
    graph.delete_all_unused_submodules()
    graph.recompile()
    return fused


def _wanted(graph: fx.GraphModule, node: fx.Node, selection: Selection) -> bool:
    module = graph.get_submodule(str(node.target))
    return (
        type(module) in _NORMS
        and kind_of(graph, node)[0] == "int8"
        and selection.why_float(str(node.target), type(module)) is None
    )


def _only_reader(
    graph: fx.GraphModule, node: fx.Node, kinds: tuple[type, ...], selection: Selection
) -> fx.Node | None:
    """The one node that reads another, if it is a module of one of some kinds."""
    reader = next(iter(node.users))
    if len(node.users) != 1 or reader.op != "call_module":
        return None
    module = graph.get_submodule(str(reader.target))
    if type(module) not in kinds or selection.why_float(str(reader.target)) is not None:
        return None
    if isinstance(module, _BatchNorm) and module.running_mean is None:
        return None
    if isinstance(module, nn.BatchNorm1d) and _rows_of_tokens(graph, node):
        return None
    return reader


def _rows_of_tokens(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a linear layer gives [N, tokens, features], where BatchNorm1d counts the tokens."""
    linear = type(graph.get_submodule(str(node.target))) is nn.Linear
    return linear and len(node.meta["tensor"][1]) != 2


def _for_inference(modules: list[nn.Module]) -> nn.Module:
    joined: Any = modules[0]
    rest: list[Any] = modules[1:]
    kind = type(joined)
    if rest and isinstance(rest[0], _BatchNorm):
        fold: Any = fuse_linear_bn_eval if kind is nn.Linear else fuse_conv_bn_eval
        joined = fold(joined, rest.pop(0))
    if rest and isinstance(rest[0], nn.ReLU6):
        joined = Clamped(_WITH_RELU[kind](joined, nn.ReLU()))
    elif rest:
        joined = _WITH_RELU[kind](joined, rest[0])
    return joined.eval()  # type: ignore[no-any-return]


def _for_training(modules: list[nn.Module]) -> nn.Module:
    first, *rest = modules
    if not isinstance(rest[0], _BatchNorm):
        return _for_inference(modules)
    for module in modules:
        module.train()
    joined: nn.Module = _FOR_TRAINING[(type(first), len(rest) == 2)](
        first, rest[0], *[nn.ReLU() for _ in rest[1:]]
    )
    return joined
