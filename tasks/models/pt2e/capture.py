"""A network as a graph of ATen operators, in the shape that quantizing it asks for."""

import copy
import operator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from schemas.errors import InputError, cause
from tasks.models.quiet import quiet

aten = torch.ops.aten

_captured: "WeakKeyDictionary[nn.Module, tuple[tuple[int, ...], GraphModule]]" = WeakKeyDictionary()


def capture(model: nn.Module, example: Tensor) -> GraphModule:
    """The graph of a network in evaluation mode, its batch open; a copy, weights included.

    ``example`` is float32[2, C, H, W]. No operator of it changes a tensor in place, attention is
    written as two products around a softmax, and each node says in ``meta["nn_module_stack"]``
    which modules it lies in. A second call for the same network does not trace it again.

    Raises InputError where torch.export cannot follow the network, it fixes the batch, or it gives
    something else than one tensor.
    """
    shape, graph = _captured.get(model, (None, None))
    if graph is None or shape != tuple(example.shape):
        graph = _trace(model, example)
        _captured[model] = (tuple(example.shape), graph)
    return copy.deepcopy(graph)


def _trace(model: nn.Module, example: Tensor) -> GraphModule:
    name = type(model).__name__
    open_batch = ({0: torch.export.Dim.DYNAMIC},)
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(model, (example,), dynamic_shapes=open_batch)
            program = program.run_decompositions(
                {
                    aten.scaled_dot_product_attention.default: _attention,
                    aten.einsum.default: _einsum,
                }
            )
            graph: GraphModule = program.module()
    except Exception as error:
        raise InputError(
            f"model {name} cannot be captured by torch.export ({cause(error)}): remove control "
            "flow that depends on values or on the batch size, or set quantization.mode to eager"
        ) from error
    _one_output(graph, name)
    _restore_batch_norms(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Scaled dot-product attention of an inference, as its two products."""
    if is_causal or enable_gqa or (attn_mask is not None and attn_mask.dtype == torch.bool):
        attended: Tensor = aten._scaled_dot_product_attention_math(
            query, key, value, attn_mask, 0.0, is_causal, None, scale=scale, enable_gqa=enable_gqa
        )[0]
        return attended
    factor = query.size(-1) ** -0.5 if scale is None else scale
    scores = torch.matmul(query * factor, key.transpose(-2, -1))
    if attn_mask is not None:
        scores = scores + attn_mask
    return torch.matmul(torch.softmax(scores, -1), value)


def _einsum(equation: str, operands: list[Tensor], *, path: list[int] | None = None) -> Any:
    """A sum over one index of two tensors, as a matrix product; others stay as they are."""
    inputs, _, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if path is not None or not output or len(terms) != 2 or "." in equation:
        return NotImplemented
    left, right = terms
    batch = [x for x in output if x in left and x in right]
    summed = [x for x in left if x in right and x not in output]
    rows = [x for x in left if x in output and x not in right]
    columns = [x for x in right if x in output and x not in left]
    named = len(set(left)) == len(left) == len(batch) + 2
    if not (len(summed) == len(rows) == len(columns) == 1 and named and len(right) == len(left)):
        return NotImplemented
    first = operands[0].permute([left.index(x) for x in (*batch, *rows, *summed)])
    second = operands[1].permute([right.index(x) for x in (*batch, *summed, *columns)])
    order = [*batch, *rows, *columns]
    return torch.matmul(first, second).permute([order.index(x) for x in output])


def _one_output(graph: GraphModule, name: str) -> None:
    results = graph.graph.output_node().args[0]
    given = results if isinstance(results, (tuple, list)) else (results,)
    spec = graph._out_spec
    if len(given) != 1 or (spec is not None and not spec.is_leaf()):
        kind = getattr(spec.type, "__name__", "collection") if spec is not None else "collection"
        raise InputError(
            f"model {name} returns a {kind} of {len(given)}, and a network here gives one tensor: "
            "wrap it in a module that returns the logits"
        )


def _restore_batch_norms(graph: GraphModule) -> None:
    """One node for a BatchNorm, which decomposing made a call and the taking of its result."""
    inference = aten._native_batch_norm_legit_no_training.default
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or node.target != inference:
            continue
        values, weight, bias, mean, variance, momentum, epsilon = node.args
        with graph.graph.inserting_before(node):
            whole = graph.graph.call_function(
                aten.batch_norm.default,
                (values, weight, bias, mean, variance, False, momentum, epsilon, False),
            )
        whole.meta = {**node.meta, "val": node.meta["val"][0]}
        for reader in list(node.users):
            if reader.target is operator.getitem:
                reader.replace_all_uses_with(whole)
                graph.graph.erase_node(reader)
        graph.graph.erase_node(node)


def module_of(node: Node) -> str:
    """The dotted name of the innermost module that a node lies in; empty for the network."""
    stack: dict[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    return list(stack.values())[-1][0] if stack else ""
