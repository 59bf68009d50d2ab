"""Quantizers that share integers and can only change their type together."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from tasks.surgery.contract import Changes
from tasks.surgery.graph import Names, constant, is_constant, is_output, replace_input
from tasks.surgery.integers import moves_values
from tasks.surgery.quantizers import grid_of, is_dq, is_q, set_grid


class IntegerGroup:
    """All quantizers and tensors that share integers with one quantizer.

    ``belongs`` says which quantizers may change; ``obstacle`` why the group as a whole cannot,
    None where it can.
    """

    def __init__(self, graph: gs.Graph, start: gs.Node, belongs: Callable[[gs.Node], bool]) -> None:
        self.quantizers: list[gs.Node] = []
        self.variables: list[gs.Variable] = []
        self.constants: dict[int, tuple[gs.Constant, list[gs.Node]]] = {}
        self.obstacle: str | None = None
        self._graph = graph
        self._belongs = belongs
        self._seen: set[int] = set()
        pending = [start.inputs[0] if is_dq(start) else start.outputs[0]]
        if is_constant(pending[0]):
            pending = []
            self.quantizers.append(start)
            self.constants[id(start.inputs[0])] = (start.inputs[0], [start])
        while pending:
            pending.extend(self._visit(pending.pop()))

    def _visit(self, tensor: gs.Tensor) -> list[gs.Tensor]:
        if id(tensor) in self._seen:
            return []
        self._seen.add(id(tensor))
        self.variables.append(tensor)
        if is_output(self._graph, tensor):
            self.obstacle = f"its integers are the graph's output {tensor.name!r}"
        if not tensor.inputs:
            self.obstacle = f"its integers are the graph's input {tensor.name!r}"
        found = self._cross(tensor.inputs[0]) if tensor.inputs else []
        for reader in tensor.outputs:
            found += self._cross(reader)
        return found

    def _cross(self, node: gs.Node) -> list[gs.Tensor]:
        """The integer tensors on a node's other sides."""
        if is_q(node) or is_dq(node):
            if id(node) not in self._seen:
                self._seen.add(id(node))
                self.quantizers.append(node)
                if not self._belongs(node):
                    self.obstacle = f"{node.name!r} has another type or zero-point"
            return []
        if not node.domain and node.op == "Concat":
            constants = [t for t in node.inputs if is_constant(t)]
            for found in constants:
                self.constants.setdefault(id(found), (found, []))[1].append(node)
            return [t for t in (*node.inputs, *node.outputs) if not is_constant(t)]
        if moves_values(node) and not is_constant(node.inputs[0]):
            return [node.inputs[0], *node.outputs]
        self.obstacle = f"{node.op} node {node.name!r} reads or makes its integers"
        return []

    def retype(
        self,
        dtype: np.dtype[Any],
        names: Names,
        stored: Callable[[NDArray[np.int16]], NDArray[Any]] = lambda integers: integers,
    ) -> None:
        """Another integer type with zero-point 0; ``stored`` turns the integers of initializers."""
        for tensor in self.variables:
            tensor.dtype = dtype
        for tensor, readers in self.constants.values():
            turned = stored(np.asarray(tensor.values).astype(np.int16)).astype(dtype)
            moved = constant(names.fresh(f"{tensor.name}_{dtype.name}"), turned)
            for reader in readers:
                replace_input(reader, tensor, moved)
        for node in self.quantizers:
            grid = grid_of(node)
            set_grid(node, grid.scale, np.zeros(grid.zero_point.shape, dtype), names)
            node.attrs.pop("output_dtype", None)


def free_groups(
    graph: gs.Graph,
    belongs: Callable[[gs.Node], bool],
    changes: Changes,
    starts: Callable[[gs.Node], bool] = lambda _: True,
) -> Iterator[IntegerGroup]:
    """Each group of a node that ``starts`` one and ``belongs``, once; an obstacle is said.

    What is done to a group is seen when the next is looked for.
    """
    done: set[int] = set()
    for node in graph.nodes:
        if id(node) in done or not starts(node) or not belongs(node):
            continue
        group = IntegerGroup(graph, node, belongs)
        done.update(id(member) for member in group.quantizers)
        if group.obstacle is None:
            yield group
        else:
            changes.skip(node.name, group.obstacle)
