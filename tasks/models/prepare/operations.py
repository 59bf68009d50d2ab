"""What eager mode and its exporter can do with an operation on INT8 tensors.

Tried, each alone between stubs, with torch 2.15's x86 kernels and the TorchScript exporter:
pooling by averages runs, but on its input's grid, which is far too coarse for the small values
that a squeeze-and-excite block averages; the kernels for slicing, splitting and permuting run, but
do not export.
"""

import operator
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import fx, nn
from torch.ao.nn import intrinsic

from tasks.models.prepare.clamped import Clamped
from tasks.models.prepare.functional import FunctionalOp

Kind = Literal["int8", "follows", "moves", "float", "size"]
"""int8: has an INT8 kernel with an output grid of its own, the reason to quantize anything.
follows: computes on INT8 tensors as well, on its input's grid. moves: gives the values of its input
elsewhere, and does so in float. size: reads a shape, whatever the tensor is made of."""

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_FUSED = (
    intrinsic.ConvReLU1d,
    intrinsic.ConvReLU2d,
    intrinsic.ConvReLU3d,
    intrinsic.LinearReLU,
    intrinsic.ConvBn1d,
    intrinsic.ConvBn2d,
    intrinsic.ConvBn3d,
    intrinsic.ConvBnReLU1d,
    intrinsic.ConvBnReLU2d,
    intrinsic.ConvBnReLU3d,
    intrinsic.LinearBn1d,
)
_FOLLOWS = (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.MaxPool2d, nn.Flatten)
_FOLLOWS_FUNCTIONS = frozenset({torch.flatten, torch.reshape, torch.transpose})
_FOLLOWS_METHODS = frozenset({"flatten", "reshape", "transpose"})
_MOVES = (nn.ZeroPad2d, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, nn.AdaptiveMaxPool2d)
_MOVES_FUNCTIONS = frozenset(
    {
        operator.getitem,
        torch.chunk,
        torch.split,
        torch.permute,
        torch.squeeze,
        torch.unsqueeze,
        torch.roll,
        torch.flip,
        torch.unbind,
        F.pixel_shuffle,
        F.channel_shuffle,
        F.adaptive_max_pool2d,
        torch.channel_shuffle,
        torch.pixel_shuffle,
    }
)
_MOVES_METHODS = frozenset(
    {"chunk", "split", "permute", "squeeze", "unsqueeze", "roll", "flip", "unbind", "narrow"}
)
_SIZE_METHODS = frozenset({"size", "dim", "numel"})


def kind_of(graph: fx.GraphModule, node: fx.Node) -> tuple[Kind, str]:
    """Which kind an operation of a normalized graph is, and why where it is float."""
    if node.op == "call_module":
        return _kind_of_module(graph.get_submodule(str(node.target)))
    if "value" in node.meta or node.op in ("placeholder", "get_attr", "output"):
        return "size", ""
    target = node.target
    if target is F.pad or (target is torch._C._nn.pad):
        zeros = node.kwargs.get("mode", "constant") == "constant" and not node.kwargs.get("value")
        return ("moves", "") if zeros and len(node.args) <= 2 else ("float", _no_kernel("pad"))
    if node.op == "call_method":
        if target in _FOLLOWS_METHODS:
            return "follows", ""
        if target in _MOVES_METHODS:
            return "moves", ""
        if target in _SIZE_METHODS:
            return "size", ""
    elif target in _FOLLOWS_FUNCTIONS:
        return "follows", ""
    elif target in _MOVES_FUNCTIONS:
        return "moves", ""
    return "float", _no_kernel(name_of(node))


def name_of(node: fx.Node) -> str:
    """What an operation is called in PyTorch."""
    return str(getattr(node.target, "__name__", node.target)).strip("_")


def _kind_of_module(module: nn.Module) -> tuple[Kind, str]:
    if isinstance(module, (FunctionalOp, Clamped, *_FUSED)):
        return "int8", ""
    if isinstance(module, WEIGHTED):
        return _kind_of_weighted(module)
    if isinstance(module, _FOLLOWS):
        return "follows", ""
    if isinstance(module, _MOVES):
        return "moves", ""
    name = type(module).__name__
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "float", "no convolution or linear layer right before it to be fused with"
    if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AvgPool2d)):
        return "float", "averages need a finer grid than their input's"
    return "float", _no_kernel(name)


def _kind_of_weighted(module: nn.Module) -> tuple[Kind, str]:
    if getattr(module, "padding_mode", "zeros") != "zeros":
        return "float", f"no INT8 kernel with padding_mode {module.padding_mode}"
    if type(module) not in WEIGHTED:
        return "float", f"{type(module).__name__} is a subclass that eager mode does not know"
    return "int8", ""


def _no_kernel(name: str) -> str:
    return f"eager mode has no INT8 kernel for {name} that exports"
