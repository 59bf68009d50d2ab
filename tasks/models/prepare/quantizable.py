"""A network with stubs and fused modules, however it came by them."""

import copy
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.ao.nn.intrinsic.modules.fused import _FusedModule
from torch.ao.quantization import QuantStub

from schemas.convert import QuantizationConfig
from tasks.models.prepare.automatic import make_quantizable, rewritten
from tasks.models.prepare.leaves import wrap_leaves
from tasks.models.prepare.place import Placement
from tasks.models.prepare.reach import reached_modules
from tasks.models.prepare.trace import DataDependentError, UntraceableError
from tasks.models.selection import chooses_modules


@dataclass(frozen=True)
class Quantizable:
    """A float copy of a network that ``torch.ao.quantization.prepare`` can take as it is."""

    network: nn.Module
    placement: Placement
    origin: str
    """How it came about, in words."""


def is_quantizable(model: nn.Module) -> bool:
    """Whether a network was written for eager mode: it has QuantStubs and ``fuse_model``."""
    stubs = any(isinstance(module, QuantStub) for module in model.modules())
    return stubs and callable(getattr(model, "fuse_model", None))


def quantizable(model: nn.Module, config: QuantizationConfig, example: Tensor) -> Quantizable:
    """A network ready for observers.

    One that was written for eager mode is used as it is, unless the job chooses among its modules:
    then its own stubs would be in the wrong places. Any other is traced and rewritten, or, where it
    cannot be traced, its convolutions and linear layers are quantized one by one.

    Raises InputError where the job's patterns fit nothing, and DataDependentError.
    """
    if is_quantizable(model) and not chooses_modules(config):
        return as_written(model, example)
    try:
        graph = traced(model, example)
    except DataDependentError:
        raise
    except UntraceableError as error:
        return Quantizable(
            *wrap_leaves(model, config, example, str(error)),
            f"each module between stubs of its own, because {error}",
        )
    placement = make_quantizable(graph, model, config)
    return Quantizable(graph, placement, "traced and rewritten automatically")


def as_written(model: nn.Module, example: Tensor | None) -> Quantizable:
    """The network with its own stubs, fused by its own ``fuse_model``.

    Modules that ``example`` does not reach, such as auxiliary heads for training, stay float.
    """
    network = copy.deepcopy(model)
    network.eval()
    names = {id(module): name for name, module in network.named_modules()}
    network.fuse_model()  # type: ignore[operator]
    placement = Placement()
    for name, module in network.named_modules():
        if isinstance(module, _FusedModule):
            parts = (names[id(part)] for part in module.children() if id(part) in names)
            placement.fused[name] = (name, *parts)
    if example is not None:
        reached = reached_modules(network, example)
        leaves = {n for n, m in network.named_modules() if n and not any(m.children())}
        placement.float_modules.update(leaves - reached)
    return Quantizable(network, placement, "used as written, with its own stubs")


_TRACED: "weakref.WeakKeyDictionary[nn.Module, tuple[Any, fx.GraphModule]]"
_TRACED = weakref.WeakKeyDictionary()


def traced(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """A copy of the network's graph, normalized and checked; tracing happens once for a network.

    Whoever tries many choices of modules on one network pays for the tracing once. Raises
    UntraceableError.
    """
    parts = tuple(id(module) for module in model.modules())
    # Of a parameter that code reads as a number, the graph has the number.
    key = (tuple(example.shape), parts, tuple((id(p), p._version) for p in model.parameters()))
    known = _TRACED.get(model)
    if known is None or known[0] != key:
        with torch.no_grad():
            known = (key, rewritten(model, example))
        _TRACED[model] = known
    return copy.deepcopy(known[1])
