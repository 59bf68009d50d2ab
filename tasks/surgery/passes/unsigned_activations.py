"""OpenVINO's lowering: activations that are never negative as uint8."""

import numpy as np
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import Names, is_constant
from tasks.surgery.integer_groups import free_groups
from tasks.surgery.integers import moves_values
from tasks.surgery.passes.align_concat import aligned_concat
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q

_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax"})
_KEEP_SIGN = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"})
_COMBINE = frozenset({"Add", "Mul", "Concat", "Max"})


class UnsignedActivations(Pass):
    """Rules.

    1. int8 with zero-point 0 becomes uint8 with zero-point 0 and the same scale where no value can
       be negative: behind Relu, a Clip from 0 up, Sigmoid, HardSigmoid, Softmax, and what pools,
       moves, adds or joins only such.
    2. Same steps; what int8 would clip above 127 steps is kept up to 255.
    3. Quantizers that share integers change together or not at all.
    4. What a Concat joins stays on one grid with it: int8 where anything joined can be negative.
    5. Weights stay int8.
    """

    name = "unsigned_activations"
    keeps_values = False

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        signs = Signs()
        for group in free_groups(graph, lambda n: _may_turn(n, signs), changes, starts=is_q):
            stored = (tensor for tensor, _ in group.constants.values())
            if not all(map(signs.never_negative, stored)) or any(
                _joins_negative(graph, member, signs) for member in group.quantizers
            ):
                name = group.quantizers[0].name
                changes.skip(name, "joined with values that can be negative")
                continue
            group.retype(np.dtype(np.uint8), names)
            changes.changed.extend(member.name for member in group.quantizers)


def _is_signed(node: gs.Node) -> bool:
    if not is_q(node) or is_constant(node.inputs[0]) or not has_grid(node):
        return False
    grid = grid_of(node)
    return grid.dtype == np.int8 and grid.per_tensor and int(grid.zero_point.ravel()[0]) == 0


def _may_turn(node: gs.Node, signs: "Signs") -> bool:
    if is_dq(node):
        grid = grid_of(node)
        return grid.dtype == np.int8 and grid.per_tensor and not grid.zero_point.any()
    return _is_signed(node) and signs.never_negative(node.inputs[0])


def _joins_negative(graph: gs.Graph, node: gs.Node, signs: "Signs") -> bool:
    concat = aligned_concat(graph, node) if is_dq(node) else None
    return concat is not None and not signs.never_negative(concat.outputs[0])


class Signs:
    """Which tensors cannot hold a negative value; those of integers, a negative integer."""

    def __init__(self) -> None:
        self._known: dict[int, bool] = {}

    def never_negative(self, tensor: gs.Tensor) -> bool:
        """Walks back with a stack of its own, for graphs deeper than Python's."""
        stack = [tensor]
        while stack:
            current = stack[-1]
            if id(current) in self._known:
                stack.pop()
                continue
            verdict, needed = _judge(current)
            open_ = [t for t in needed if id(t) not in self._known]
            if verdict is None and open_:
                stack.extend(open_)
                continue
            if verdict is None:
                verdict = all(self._known[id(t)] for t in needed)
            self._known[id(current)] = verdict
            stack.pop()
        return self._known[id(tensor)]


def _blends(node: gs.Node) -> bool:
    """Whether a Resize weighs neighbours; cubic weights are negative in part."""
    mode: str = node.attrs.get("mode", "")
    return node.op == "Resize" and mode == "linear"


def _judge(tensor: gs.Tensor) -> tuple[bool | None, list[gs.Tensor]]:
    """A verdict, or the tensors that it depends on."""
    if is_constant(tensor):
        values = np.asarray(tensor.values)
        return bool(values.size and values.min() >= 0), []
    if not tensor.inputs:
        return False, []
    node = tensor.inputs[0]
    if node.domain:
        return False, []
    if is_q(node) or is_dq(node):
        return _judge_quantizer(node)
    if node.op in _NEVER_NEGATIVE:
        return True, []
    if node.op == "Clip":
        low = node.inputs[1] if len(node.inputs) > 1 else None
        return bool(low is not None and is_constant(low) and np.all(low.values >= 0)), []
    if node.op in _COMBINE:
        return None, list(node.inputs)
    if node.op in _KEEP_SIGN or moves_values(node) or _blends(node):
        return None, [node.inputs[0]]
    return False, []


def _judge_quantizer(node: gs.Node) -> tuple[bool | None, list[gs.Tensor]]:
    """An integer has the sign of what it stands for where the zero-point is 0."""
    if not has_grid(node):
        return False, []
    grid = grid_of(node)
    if grid.starts_at_zero if is_dq(node) else grid.bounds[0] == 0:
        return True, []
    return (False, []) if grid.zero_point.any() else (None, [node.inputs[0]])
