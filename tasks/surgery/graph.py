"""ONNX graphs as graphsurgeon graphs: reading, writing and rewiring in linear time.

graphsurgeon's own ``cleanup`` and ``toposort`` walk the whole graph; passes here only rewire, and
``sweep`` and ``to_model`` tidy up once.
"""

import heapq
from collections import deque
from collections.abc import Iterable

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx_graphsurgeon.logger import G_LOGGER

# graphsurgeon's remarks go to standard output, where --json prints a document.
G_LOGGER.severity = G_LOGGER.ERROR


def from_model(model: onnx.ModelProto) -> gs.Graph:
    """A graph whose nodes all have names of their own.

    The model is not copied: weights stay where they are until somebody reads them.
    """
    graph = gs.import_onnx(model)
    taken: set[str] = set()
    for index, node in enumerate(graph.nodes):
        name = node.name or f"{node.op}_{index}"
        while name in taken:
            name = f"{name}_{index}"
        node.name = name
        taken.add(name)
    return graph


def to_model(graph: gs.Graph, original: onnx.ModelProto) -> onnx.ModelProto:
    """The graph as a model with ``original``'s inputs, outputs and metadata."""
    graph.nodes = in_order(graph.nodes)
    model: onnx.ModelProto = gs.export_onnx(graph, do_type_check=False)
    given = {tensor.name for tensor in graph.inputs}
    del model.graph.input[:]
    model.graph.input.extend(x for x in original.graph.input if x.name in given)
    del model.graph.output[:]
    model.graph.output.extend(original.graph.output)
    # Before version 4 every initializer had to be an input too, and passes write new ones.
    model.ir_version = max(model.ir_version, 4)
    model.doc_string = original.doc_string
    model.domain = original.domain
    model.model_version = original.model_version
    model.metadata_props.extend(original.metadata_props)
    return model


def in_order(nodes: Iterable[gs.Node]) -> list[gs.Node]:
    """The nodes so that each comes after what it reads; otherwise as they were."""
    listed = list(nodes)
    maker = {id(tensor): i for i, node in enumerate(listed) for tensor in node.outputs}
    readers: list[list[int]] = [[] for _ in listed]
    waiting = [0] * len(listed)
    for i, node in enumerate(listed):
        for tensor in reads(node):
            source = maker.get(id(tensor))
            if source is not None:
                readers[source].append(i)
                waiting[i] += 1
    if all(source < i for source, rs in enumerate(readers) for i in rs):
        return listed
    ready = [i for i, count in enumerate(waiting) if count == 0]
    ordered = []
    while ready:
        i = heapq.heappop(ready)
        ordered.append(listed[i])
        for reader in readers[i]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    return ordered


def reads(node: gs.Node) -> list[gs.Tensor]:
    """Every tensor a node needs: its inputs and what its subgraphs take from outside."""
    tensors = [tensor for tensor in node.inputs if tensor.name]
    for attribute in node.attrs.values():
        if isinstance(attribute, gs.Graph):
            for inner in attribute.nodes:
                tensors.extend(reads(inner))
    return tensors


def sweep(graph: gs.Graph) -> list[str]:
    """Drop the nodes that nothing reads, and say which."""
    kept = {id(tensor) for tensor in graph.outputs}
    dead: set[int] = set()
    pending = deque(graph.nodes)
    while pending:
        node = pending.popleft()
        if id(node) in dead or any(id(t) in kept or t.outputs for t in node.outputs):
            continue
        dead.add(id(node))
        sources = [t.inputs[0] for t in reads(node) if t.inputs]
        node.inputs.clear()
        node.outputs.clear()
        pending.extend(sources)
    names = [node.name for node in graph.nodes if id(node) in dead]
    graph.nodes = [node for node in graph.nodes if id(node) not in dead]
    return names


def producer(tensor: gs.Tensor) -> gs.Node | None:
    return tensor.inputs[0] if not is_constant(tensor) and tensor.inputs else None


def is_constant(tensor: gs.Tensor) -> bool:
    return isinstance(tensor, gs.Constant)


def is_output(graph: gs.Graph, tensor: gs.Tensor) -> bool:
    return any(tensor is output for output in graph.outputs)


def only_reader(graph: gs.Graph, tensor: gs.Tensor) -> gs.Node | None:
    """The one node that reads a tensor; None where there are more, none, or it leaves the graph."""
    if len(tensor.outputs) != 1 or is_output(graph, tensor):
        return None
    return tensor.outputs[0]


def replace_input(node: gs.Node, old: gs.Tensor, new: gs.Tensor) -> None:
    """Let one node read ``new`` wherever it reads ``old``."""
    for index, tensor in enumerate(node.inputs):
        if tensor is old:
            node.inputs[index] = new


def can_redirect(graph: gs.Graph, old: gs.Tensor, new: gs.Tensor) -> bool:
    """Whether ``redirect`` can; an output that ``new``'s maker cannot write forbids it."""
    return not is_output(graph, old) or (producer(new) is not None and not is_output(graph, new))


def redirect(graph: gs.Graph, old: gs.Tensor, new: gs.Tensor) -> bool:
    """Let everything that reads ``old`` read ``new``; False where an output's name forbids it.

    An output of the graph keeps its name: then ``new``'s producer writes ``old`` instead, which
    cannot be where ``new`` is itself an input, a constant or an output.
    """
    if not can_redirect(graph, old, new):
        return False
    source = producer(new)
    if is_output(graph, old) and source is not None:
        maker = producer(old)
        if maker is not None:
            maker.outputs[[t is old for t in maker.outputs].index(True)] = gs.Variable(
                f"{old.name}_unused", old.dtype, old.shape
            )
        source.outputs[[t is new for t in source.outputs].index(True)] = old
        old, new = new, old
    for node in list(old.outputs):
        replace_input(node, old, new)
    return True


class Names:
    """Names that no tensor or node of a graph has yet."""

    def __init__(self, graph: gs.Graph) -> None:
        self._taken = {node.name for node in graph.nodes}
        for node in graph.nodes:
            self._taken.update(t.name for t in (*node.inputs, *node.outputs))

    def fresh(self, stem: str) -> str:
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name


def constant(name: str, values: NDArray[np.generic]) -> gs.Constant:
    """An initializer. A 0-d array stays 0-d: shape () is a scale per tensor, (1,) one per axis."""
    return gs.Constant(name, values)
