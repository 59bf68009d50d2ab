"""Einsum in the spelling that every compiler reads."""

import string

import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass


class PlainEinsum(Pass):
    """Rules.

    1. An Einsum's indices become ``a``, ``b``, ... in the order they appear, and spaces go: ONNX
       allows capitals and spaces as PyTorch does, and TensorRT's parser refuses both.
    2. Left alone: equations without capitals and spaces.
    """

    name = "plain_einsum"
    keeps_values = True

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        for node in graph.nodes:
            if _is_odd(node):
                before = _equation(node)
                node.attrs["equation"] = plain(before)
                changes.changed.append(f"{node.name} ({before!r} to {plain(before)!r})")

    def left(self, graph: gs.Graph) -> list[str]:
        return [node.name for node in graph.nodes if _is_odd(node)]


def plain(equation: str) -> str:
    """The same sum with lower-case indices and without spaces.

    Letters keep where they need not change. With capitals an implicit output, which is sorted by
    letter, is written out first; beyond 26 indices there is no such spelling.
    """
    equation = "".join(equation.split())
    letters = list(dict.fromkeys(x for x in equation if x.isalpha()))
    if all(x.islower() for x in letters) or len(letters) > 26:
        return equation
    if "->" not in equation:
        once = sorted(x for x in letters if equation.count(x) == 1)
        equation += "->" + ("..." if "..." in equation else "") + "".join(once)
    names = dict(zip(letters, string.ascii_lowercase, strict=False))
    return "".join(names.get(x, x) for x in equation)


def _is_odd(node: gs.Node) -> bool:
    return node.op == "Einsum" and not node.domain and plain(_equation(node)) != _equation(node)


def _equation(node: gs.Node) -> str:
    equation = node.attrs.get("equation", "")
    return equation.decode() if isinstance(equation, bytes) else str(equation)
