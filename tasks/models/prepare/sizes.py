"""Sizes that do not depend on the batch, written into a traced network as numbers."""

from typing import Any

import torch
from torch import Tensor, fx


def fold_sizes(graph: fx.GraphModule, other: Tensor) -> Any:
    """Write sizes that do not depend on the batch as numbers; returns the answers for ``other``.

    ``other`` is an input of another batch than the one that was traced with.
    """
    seen: dict[fx.Node, Any] = {}

    class Watch(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if "value" in n.meta:
                seen[n] = result
            return result

    with torch.no_grad():
        answers = Watch(graph).run(other)
    for node in list(graph.graph.nodes):
        if node.op not in ("call_function", "call_method") or "value" not in node.meta:
            continue
        value = node.meta["value"]
        plain = isinstance(value, (bool, int, float, torch.Size))
        if plain and type(value) is type(seen[node]) and value == seen[node]:
            constant = tuple(value) if isinstance(value, torch.Size) else value
            for user in list(node.users):
                _replace(user, node, constant)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return answers


def _replace(user: fx.Node, node: fx.Node, constant: Any) -> None:
    def swap(found: Any) -> Any:
        return constant if found is node else found

    user.args = fx.node.map_aggregate(user.args, swap)
    user.kwargs = fx.node.map_aggregate(user.kwargs, swap)
