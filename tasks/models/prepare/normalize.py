"""A traced network in one spelling: every operation that can be quantized is a module, used once.

Nothing here changes a value: the network's answers stay bit-equal.
"""

import copy
import operator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, fx, nn

from tasks.models.prepare.functional import Add, AddReLU, Cat, Mul

_ADD = {operator.add, operator.iadd, torch.add, "add", "add_"}
_MUL = {operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_", "multiply"}
_CAT = {torch.cat, torch.concat, torch.concatenate}
_INPLACE = {operator.iadd, operator.imul, operator.isub, operator.itruediv}
_SKIPPED_MODULES = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_SKIPPED_FUNCTIONS = (
    "dropout",
    "stochastic_depth",
    "feature_dropout",
    "dropout2d",
    "alpha_dropout",
)


def normalize(graph: fx.GraphModule) -> None:
    """Rewrite a graph that ``trace`` gave, in place."""
    _write_inplace_as_plain(graph)
    for node in list(graph.graph.nodes):
        if _does_nothing(graph, node):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
        elif node.target is torch._assert:
            # It held for the example, and shapes are the same for every image.
            graph.graph.erase_node(node)
    for node in list(graph.graph.nodes):
        _as_module(graph, node)
    _join_add_and_relu(graph)
    _one_module_a_call(graph)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()


def add_module(graph: fx.GraphModule, owner: str, name: str, module: nn.Module) -> str:
    """Put a module among those of ``owner``, under ``name`` or the next that is free."""
    prefix = f"{owner}." if owner else ""
    target, count = f"{prefix}{name}", 1
    while _has(graph, target):
        count += 1
        target = f"{prefix}{name}_{count}"
    graph.add_submodule(target, module)
    return target


def _has(graph: fx.GraphModule, target: str) -> bool:
    parent, _, name = target.rpartition(".")
    try:
        return hasattr(graph.get_submodule(parent), name)
    except AttributeError:
        return False


def _write_inplace_as_plain(graph: fx.GraphModule) -> None:
    """``x += y`` makes a new tensor, and who reads x later reads that.

    In INT8 the operation and its input are tensors of different grids, so they cannot be one.
    """
    order = {node: index for index, node in enumerate(graph.graph.nodes)}
    for node in graph.graph.nodes:
        if not _is_inplace(graph, node) or not isinstance(node.args[0], fx.Node):
            continue
        if "tensor" not in node.meta:
            continue
        overwritten = node.args[0]
        for user in list(overwritten.users):
            if order[user] > order[node]:
                user.replace_input_with(overwritten, node)
        if "inplace" in node.kwargs:
            node.kwargs = {**node.kwargs, "inplace": False}
        if node.op == "call_module":
            module = copy.copy(graph.get_submodule(node.target))
            module.inplace = False  # type: ignore[assignment]
            parent, _, name = node.target.rpartition(".")
            setattr(graph.get_submodule(parent), name, module)


def _is_inplace(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(graph.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and not name.endswith("__")
    return node.op == "call_function" and (
        node.target in _INPLACE or node.kwargs.get("inplace") is True
    )


def _does_nothing(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), _SKIPPED_MODULES)
    if node.op == "call_method":
        return node.target in ("contiguous", "detach", "clone") and _is_tensor(node.args[0])
    if node.op != "call_function":
        return False
    name = getattr(node.target, "__name__", "")
    # Tracing runs in evaluation mode; whoever asks for dropout all the same shall get it.
    return name in _SKIPPED_FUNCTIONS and not _training(node)


def _training(node: fx.Node) -> bool:
    if "training" in node.kwargs:
        return bool(node.kwargs["training"])
    flags = [x for x in node.args[1:] if isinstance(x, bool)]
    return flags[0] if flags else True


def _is_tensor(argument: Any) -> bool:
    return isinstance(argument, fx.Node) and "tensor" in argument.meta


def _is_activation(argument: Any) -> bool:
    return _is_tensor(argument) and argument.op != "get_attr"


def _as_module(graph: fx.GraphModule, node: fx.Node) -> None:
    """Write an operation as a module, where there is one that can be quantized."""
    if node.op not in ("call_function", "call_method") or "tensor" not in node.meta:
        return
    target, args = node.target, node.args
    if target == "view":
        # Integer convolutions lay their output out by channels last, which view refuses.
        node.target = "reshape"
    elif target in _ADD and _two_activations(node):
        _call(graph, node, "add", Add(), args)
    elif target in _MUL and _two_activations(node):
        _call(graph, node, "mul", Mul(), args)
    elif target in _CAT and all(_is_activation(x) for x in args[0]):  # type: ignore[union-attr]
        dim = args[1] if len(args) > 1 else node.kwargs.get("dim", 0)
        _call(graph, node, "cat", Cat(), (list(args[0]), dim))  # type: ignore[arg-type]
    elif target in (F.linear, F.conv2d, F.conv1d, torch.conv2d, torch.conv1d):
        _as_weighted(graph, node)
    else:
        activation = _activation(node)
        if activation is not None:
            _call(graph, node, *activation)


def _two_activations(node: fx.Node) -> bool:
    # torch.add(x, y, alpha=2) is another sum.
    return len(node.args) == 2 and not node.kwargs and all(map(_is_activation, node.args))


def _activation(node: fx.Node) -> tuple[str, nn.Module] | None:
    target = node.target
    if target in (F.relu, torch.relu, torch.relu_, F.relu_, "relu", "relu_"):
        return "relu", nn.ReLU()
    if target is F.relu6:
        return "relu6", nn.ReLU6()
    if target is F.hardtanh and len(node.args) == 1:
        low, high = node.kwargs.get("min_val", -1.0), node.kwargs.get("max_val", 1.0)
        return "hardtanh", nn.Hardtanh(low, high)  # type: ignore[arg-type]
    if target is F.max_pool2d:
        given = _arguments(node, ("kernel_size", "stride", "padding", "dilation", "ceil_mode"))
        if given is not None:
            return "max_pool", nn.MaxPool2d(**given)
    return None


def _arguments(node: fx.Node, names: tuple[str, ...]) -> dict[str, Any] | None:
    """The arguments behind the first by name; None where there are others than ``names``."""
    given = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
    given.pop("return_indices", None)
    return given if set(given) <= set(names) else None


def _call(
    graph: fx.GraphModule, node: fx.Node, name: str, module: nn.Module, args: Any = None
) -> None:
    """Let a node call a new module instead of what it called."""
    target = add_module(graph, node.meta["owner"], name, module.eval())
    node.op, node.target = "call_module", target
    node.args, node.kwargs = (node.args[:1] if args is None else tuple(args)), {}


def _as_weighted(graph: fx.GraphModule, node: fx.Node) -> None:
    """``F.conv2d(x, self.weight, ...)``, as own subclasses of Conv2d have it, as a Conv2d."""
    names = ("weight", "bias", "stride", "padding", "dilation", "groups")
    given = _arguments(node, names)
    if given is None or not _is_parameter(given.get("weight")):
        return
    bias = given.get("bias")
    if bias is not None and not _is_parameter(bias):
        return
    weight = _tensor_of(graph, given["weight"])
    settings: dict[str, Any] = {key: given[key] for key in names[2:] if key in given}
    # On the meta device, since its weights are the network's own.
    settings |= {"bias": bias is not None, "device": "meta"}
    module: nn.Module
    if node.target is F.linear:
        name, module = "linear", nn.Linear(weight.shape[1], weight.shape[0], **settings)
    else:
        kind: Any = nn.Conv1d if weight.ndim == 3 else nn.Conv2d
        inputs = weight.shape[1] * int(settings.get("groups", 1))
        name = f"conv{weight.ndim - 2}d"
        module = kind(inputs, weight.shape[0], tuple(weight.shape[2:]), **settings)
    module.weight = _as_parameter(weight)
    if bias is not None:
        module.bias = _as_parameter(_tensor_of(graph, bias))
    _call(graph, node, name, module)


def _as_parameter(tensor: Tensor) -> nn.Parameter:
    if isinstance(tensor, nn.Parameter):
        return tensor
    return nn.Parameter(tensor, requires_grad=False)


def _is_parameter(argument: Any) -> bool:
    return isinstance(argument, fx.Node) and argument.op == "get_attr"


def _tensor_of(graph: fx.GraphModule, node: fx.Node) -> Tensor:
    found: Any = graph
    for part in str(node.target).split("."):
        found = getattr(found, part)
    assert isinstance(found, Tensor)
    return found


def _join_add_and_relu(graph: fx.GraphModule) -> None:
    """``node.meta["relu"]`` is the name of the ReLU that a sum took in."""
    for node in list(graph.graph.nodes):
        if node.op != "call_module" or type(graph.get_submodule(node.target)) is not nn.ReLU:
            continue
        add = node.args[0]
        if add.op != "call_module" or type(graph.get_submodule(add.target)) is not Add:
            continue
        if len(add.users) == 1:
            add.target = add_module(graph, add.meta["owner"], "add_relu", AddReLU())
            add.meta["relu"] = node.target
            node.replace_all_uses_with(add)
            graph.graph.erase_node(node)


def _one_module_a_call(graph: fx.GraphModule) -> None:
    """A module that is called twice has two outputs, of two ranges: give each call its own.

    ``node.meta["copy_of"]`` is the name of the module that a copy was made of.
    """
    modules = dict(graph.named_modules(remove_duplicate=False))
    seen: dict[int, str] = {}
    for node in graph.graph.nodes:
        if node.op != "call_module":
            continue
        module = (
            modules[node.target] if node.target in modules else graph.get_submodule(node.target)
        )
        if id(module) in seen:
            owner, _, name = node.target.rpartition(".")
            node.target = add_module(graph, owner, name, copy.deepcopy(module))
            node.meta["copy_of"] = seen[id(module)]
        seen.setdefault(id(module), node.target)
