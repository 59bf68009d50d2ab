"""How the layers of a network hang together, from a symbolic trace of it."""

from dataclasses import dataclass

import torch
from torch import fx, nn

from schemas.errors import InputError

Weighted = nn.Conv2d | nn.Linear

# f(s x) = s f(x) for every s > 0, channel by channel.
_KEEPS_SCALE = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
)
_KEEPS_SCALE_CALLS = (torch.relu, nn.functional.relu, nn.functional.max_pool2d)


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer, and the BatchNorm that its output alone goes to."""

    name: str
    module: Weighted
    norm: nn.BatchNorm2d | None

    def folded_weights(self) -> torch.Tensor:
        """The weights as they are quantized, BatchNorm multiplied in."""
        weights = self.module.weight.detach()
        if self.norm is None:
            return weights
        return weights * _norm_factor(self.norm).view(-1, 1, 1, 1)

    @property
    def groups(self) -> int:
        """Groups of a convolution; 1 for a linear layer."""
        return int(getattr(self.module, "groups", 1))

    @property
    def bias(self) -> torch.Tensor | None:
        """What is added to the layer's output per channel, BatchNorm included."""
        return self.module.bias if self.norm is None else self.norm.bias


@dataclass(frozen=True)
class Structure:
    """``layers`` in the order in which they run, and the ``pairs`` that can be equalized."""

    layers: tuple[Layer, ...]
    pairs: tuple[tuple[Layer, Layer], ...]


def structure_of(model: nn.Module, purpose: str) -> Structure:
    """Layers and pairs of layers of an FP32 network in evaluation mode.

    A pair's first output reaches its second, and nothing else, through operations that keep a
    channel's scale. Raises InputError, naming ``purpose``, where the network cannot be traced.
    """
    try:
        graph = fx.symbolic_trace(model).graph
    except Exception as error:  # whatever the network's own Python raises on a proxy
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise InputError(
            f"{purpose}: the network cannot be traced ({type(error).__name__}: {reason}): leave "
            f"{purpose} out of the job"
        ) from error
    modules = dict(model.named_modules())
    called = [node for node in graph.nodes if node.op == "call_module"]
    calls: dict[str, int] = {}
    for node in called:
        calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    layers: dict[fx.Node, Layer] = {}
    ends: dict[fx.Node, fx.Node] = {}
    for node in called:
        module = modules[str(node.target)]
        # A layer that is called twice has two inputs: one correction would not suit both.
        if not isinstance(module, Weighted) or calls[str(node.target)] > 1:
            continue
        follower = _only_user(node)
        norm = modules.get(str(follower.target)) if follower is not None else None
        has_norm = isinstance(norm, nn.BatchNorm2d) and isinstance(module, nn.Conv2d)
        layers[node] = Layer(str(node.target), module, norm if has_norm else None)
        ends[node] = follower if has_norm and follower is not None else node
    pairs = []
    for node, first in layers.items():
        reached = _next_layer(ends[node], modules)
        second = layers.get(reached) if reached is not None else None
        if second is not None and isinstance(first.module, nn.Conv2d):
            pairs.append((first, second))
    same_kind = tuple(p for p in pairs if isinstance(p[1].module, nn.Conv2d))
    return Structure(tuple(layers.values()), same_kind)


def _norm_factor(norm: nn.BatchNorm2d) -> torch.Tensor:
    assert norm.running_var is not None
    factor = 1 / torch.sqrt(norm.running_var + norm.eps)
    return factor if norm.weight is None else factor * norm.weight.detach()


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _next_layer(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """The layer that a value reaches through scale-keeping operations only, and nothing else."""
    following = _only_user(node)
    while following is not None and _keeps_scale(following, modules):
        following = _only_user(following)
    if following is None or following.op != "call_module":
        return None
    return following if isinstance(modules[str(following.target)], Weighted) else None


def _keeps_scale(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], _KEEPS_SCALE)
    if node.op == "call_method":
        return node.target == "relu"
    return node.op == "call_function" and node.target in _KEEPS_SCALE_CALLS
