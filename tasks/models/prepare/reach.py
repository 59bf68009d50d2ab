"""Which modules an input reaches, in which order, and whether its values decide."""

import traceback
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tasks.models.selection import WEIGHTED


def reached_modules(model: nn.Module, example: Tensor) -> set[str]:
    """The names of the modules that are called when a network answers an example."""
    return set(_calls(model, example))


def execution_order(model: nn.Module, example: Tensor) -> list[str]:
    """The convolution and linear modules that are called for an example, call by call."""
    return [x for x in _calls(model, example) if isinstance(model.get_submodule(x), WEIGHTED)]


@torch.no_grad()
def _calls(model: nn.Module, example: Tensor) -> list[str]:
    called: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _m, _x, name=name: called.append(name))
        for name, module in model.named_modules()
    ]
    try:
        model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return called


@torch.no_grad()
def value_read_from(model: nn.Module, example: Tensor) -> str | None:
    """The line of code that turns the images' values into a Python value; None: there is none.

    Found by answering two different images of the same shape and comparing what is read.
    """
    generator = torch.Generator().manual_seed(0)
    first, second = _Reads(), _Reads()
    for reads in (first, second):
        images = torch.randn(example.shape, generator=generator)
        with reads:
            model(images)
    for one, other in zip(first.seen, second.seen, strict=False):
        if one != other:
            return one[1]
    return None


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every scalar that leaves a tensor, and where."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[tuple[Any, str]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._local_scalar_dense.default:
            self.seen.append((result, _user_line()))
        return result


def _user_line() -> str:
    for frame in reversed(traceback.extract_stack()):
        if "/torch/" not in frame.filename and not frame.filename.endswith("prepare/reach.py"):
            return f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}: {frame.line}"
    return "unknown"
