"""Preparing a network that was not written for quantization, by rewriting its graph."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from schemas.convert import QuantizationConfig
from tasks.models.prepare.fuse import fuse
from tasks.models.prepare.normalize import normalize
from tasks.models.prepare.operations import WEIGHTED
from tasks.models.prepare.place import Placement, place_stubs
from tasks.models.prepare.sizes import fold_sizes
from tasks.models.prepare.trace import UntraceableError, trace
from tasks.models.selection import Selection


def rewritten(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """A network as a graph whose operations are modules where eager mode can quantize them.

    ``example`` is float32[2, C, H, W]. It is checked on random images, in batches of two and of
    one, that the graph's answers are bit-equal to the network's. The weights are shared with the
    network. Raises UntraceableError where the network cannot be traced, or answers differently.
    """
    images = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
    graph, answers = trace(model, images)
    normalize(graph)
    one = images[:1]
    with torch.no_grad():
        _check(fold_sizes(graph, one), model(one), model, one)
        _check(graph(images), answers, model, images)
    return graph


def make_quantizable(
    graph: fx.GraphModule,
    model: nn.Module,
    config: QuantizationConfig,
    *,
    for_training: bool = False,
) -> Placement:
    """Fuse and place stubs in a graph that ``rewritten`` gave for ``model``, in place.

    ``for_training`` keeps BatchNorm alive inside the fused modules, as ``prepare_qat`` wants it.
    Raises InputError where the job's patterns fit nothing.
    """
    copies = {
        str(node.target): node.meta["copy_of"]
        for node in graph.graph.nodes
        if "copy_of" in node.meta
    }
    selection = Selection(model, config, _order(graph), copies)
    fused = fuse(graph, selection, for_training=for_training)
    placement = place_stubs(graph, selection, fused)
    placement.copies = copies
    placement.fused = {
        str(node.target): (str(node.target), node.meta["relu"])
        for node in graph.graph.nodes
        if "relu" in node.meta
    } | {name: tuple(part.name for part in parts) for name, parts in fused.items()}
    return placement


def _order(graph: fx.GraphModule) -> Sequence[str]:
    return [
        str(node.target)
        for node in graph.graph.nodes
        if node.op == "call_module" and isinstance(graph.get_submodule(node.target), WEIGHTED)
    ]


def _check(found: Any, expected: Any, model: nn.Module, images: Tensor) -> None:
    if not isinstance(expected, Tensor):
        raise UntraceableError(f"it returns a {type(expected).__name__}, not a tensor")
    if torch.equal(expected, found):
        return
    raise UntraceableError(
        "its graph does not answer as it does"
        if torch.equal(model(images), model(images))
        else "it answers differently each time: is a dropout always on?"
    )
