"""How far a tensor is from the graph's inputs."""

import onnx_graphsurgeon as gs

from tasks.surgery.graph import in_order, reads


def depths(graph: gs.Graph) -> dict[int, int]:
    """Nodes on the longest path to each tensor, by ``id(tensor)``; 0 for inputs and constants."""
    found: dict[int, int] = {id(tensor): 0 for tensor in graph.inputs}
    for node in in_order(graph.nodes):
        given = reads(node)
        for tensor in given:
            found.setdefault(id(tensor), 0)
        below = 1 + max((found[id(tensor)] for tensor in given), default=0)
        for tensor in node.outputs:
            found[id(tensor)] = below
    return found
