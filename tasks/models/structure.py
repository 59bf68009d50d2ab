"""How the layers of a network hang together, from a symbolic trace of it."""

from collections import Counter
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
    """A convolution or linear layer, and the BatchNorm that its output alone goes to.

    A BatchNorm that is called more than once, or has no statistics or weight to fold, is none here.
    """

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

    @property
    def outgoing(self) -> tuple[torch.Tensor, ...]:
        """What scales with each channel of the layer's output: its first dimension is theirs."""
        last = self.norm or self.module
        return (last.weight,) if last.bias is None else (last.weight, last.bias)


@dataclass(frozen=True)
class Structure:
    """``layers`` in the order in which they run, and the ``pairs`` that can be equalized."""

    layers: tuple[Layer, ...]
    pairs: tuple[tuple[Layer, Layer], ...]


def structure_of(model: nn.Module, purpose: str) -> Structure:
    """Layers and pairs of layers of an FP32 network in evaluation mode.

    A pair's first output reaches its second, and nothing else, through operations that keep a
    channel's scale, and the weights of both are theirs alone. Raises InputError, naming
    ``purpose``, where the network cannot be traced.
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
    calls = Counter(node.target for node in called)
    layers: dict[fx.Node, Layer] = {}
    ends: dict[fx.Node, fx.Node] = {}
    for node in called:
        module = modules[str(node.target)]
        # A layer that is called twice has two inputs: one correction would not suit both.
        if not isinstance(module, Weighted) or calls[node.target] > 1:
            continue
        follower = _only_user(node)
        norm = _foldable(follower, modules, calls) if isinstance(module, nn.Conv2d) else None
        layers[node] = Layer(str(node.target), module, norm)
        ends[node] = node if norm is None or follower is None else follower
    # Weights that are tied are here twice, and computed ones, such as weight_norm's, not at all.
    held = Counter(id(p) for m in model.modules() for p in m._parameters.values())
    pairs = []
    for node, first in layers.items():
        reached = _next_layer(ends[node], modules)
        second = layers.get(reached) if reached is not None else None
        if second is None or not _convolutions(first, second):
            continue
        if all(held[id(tensor)] == 1 for tensor in (*first.outgoing, second.module.weight)):
            pairs.append((first, second))
    return Structure(tuple(layers.values()), tuple(pairs))


def _convolutions(*layers: Layer) -> bool:
    return all(isinstance(layer.module, nn.Conv2d) for layer in layers)


def _foldable(
    node: fx.Node | None, modules: dict[str, nn.Module], calls: Counter[fx.node.Target]
) -> nn.BatchNorm2d | None:
    """The BatchNorm that a node calls, where no other does and it has statistics and a weight."""
    if node is None or node.op != "call_module" or calls[node.target] > 1:
        return None
    norm = modules[str(node.target)]
    if not isinstance(norm, nn.BatchNorm2d) or not norm.affine or norm.running_var is None:
        return None
    return norm


def _norm_factor(norm: nn.BatchNorm2d) -> torch.Tensor:
    assert norm.running_var is not None
    return norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)


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
