"""A model without its weights: all that shape inference and type checks look at.

Both copy a model as a whole, which for a large network takes longer than the surgery.
"""

import math
from collections.abc import Iterator

import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.importers.onnx_importer import OnnxImporter

from tasks.surgery.graph import from_model

# Shapes that are computed on the way have a handful of values.
_LARGEST_KEPT = 1024


def graph_with_shapes(model: onnx.ModelProto) -> gs.Graph:
    """A graph that knows the shape and type of every tensor where they can be inferred."""
    graph = from_model(model)
    inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True)
    known = {info.name: info for info in (*inferred.graph.value_info, *inferred.graph.input)}
    for node in graph.nodes:
        for tensor in node.outputs:
            info = known.get(tensor.name)
            if info is not None:
                described = OnnxImporter.import_tensor(info)
                tensor.dtype, tensor.shape = described.dtype, described.shape
    return graph


def check(model: onnx.ModelProto) -> None:
    """ONNX's own checks, in full: structure, types and shapes, and every weight by itself.

    Raises onnx.checker.ValidationError or onnx.shape_inference.InferenceError.
    """
    onnx.checker.check_model(skeleton(model), full_check=True)
    for tensor in model.graph.initializer:
        if _is_large(tensor):
            onnx.checker.check_tensor(tensor)


def skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network, whose large constants are inputs of their type and shape."""
    bare = onnx.ModelProto(ir_version=model.ir_version)
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    source, graph = model.graph, bare.graph
    graph.name = source.name
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    graph.value_info.extend(source.value_info)
    graph.sparse_initializer.extend(source.sparse_initializer)
    graph.initializer.extend(x for x in source.initializer if not _is_large(x))
    moved = [(x.name, x) for x in source.initializer if _is_large(x)]
    for node in source.node:
        large = list(_large_constant(node))
        if large:
            moved.append((node.output[0], large[0]))
        else:
            graph.node.append(node)
    given = {x.name for x in source.input}
    graph.input.extend(
        onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
        for name, tensor in moved
        if name not in given
    )
    return bare


def _is_large(tensor: onnx.TensorProto) -> bool:
    return math.prod(map(int, tensor.dims)) > _LARGEST_KEPT


def _large_constant(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    if node.op_type == "Constant" and not node.domain:
        for attribute in node.attribute:
            if attribute.name == "value" and _is_large(attribute.t):
                yield attribute.t
