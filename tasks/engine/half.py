"""A float32 graph in float16: the baseline that INT8 has to beat on a GPU."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from schemas.errors import InputError
from tasks.runtimes.onnx_file import read_structure

# Inputs that the ONNX standard keeps in float32 whatever the data's type.
_FLOAT32_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}
_HALF_LIMIT = float(np.finfo(np.float16).max)


def to_half(graph: Path, target: Path) -> Path:
    """Write ``graph`` to ``target`` with float16 weights and activations.

    1. Inputs and outputs stay float32 and are cast at the graph's edges, so that both precisions
       take the same images.
    2. Weights beyond float16's range are clipped to it.
    3. A Cast to float32 becomes one to float16.

    Raises InputError for a graph with Q/DQ: its rest is brought to float16 by surgery.
    """
    if any(node.op_type == "DequantizeLinear" for node in read_structure(graph).graph.node):
        raise InputError(
            f"{graph.name} is quantized: give precision float16 the float32 graph, or use "
            "enginesmith surgery --precision int8+fp16 for INT8 with float16"
        )
    model = onnx.load(str(graph))
    _weights(model)
    for node in model.graph.node:
        for attribute in node.attribute:
            if (
                node.op_type == "Cast"
                and attribute.name == "to"
                and attribute.i == TensorProto.FLOAT
            ):
                attribute.i = TensorProto.FLOAT16
    _cast_edges(model)
    del model.graph.value_info[:]
    onnx.save(model, str(target))
    return target


def _weights(model: onnx.ModelProto) -> None:
    kept = {
        node.input[index]
        for node in model.graph.node
        for index in _FLOAT32_INPUTS.get(node.op_type, ())
        if index < len(node.input)
    }
    for tensor in model.graph.initializer:
        if tensor.name not in kept:
            _to_half(tensor)
    for node in model.graph.node:
        if node.op_type in ("Constant", "ConstantOfShape") and not kept & set(node.output):
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    _to_half(attribute.t)


def _to_half(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        values = np.clip(numpy_helper.to_array(tensor), -_HALF_LIMIT, _HALF_LIMIT)
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))


def _cast_edges(model: onnx.ModelProto) -> None:
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [x for x in graph.input if x.name not in weights and _is_float(x)]
    outputs = [x for x in graph.output if _is_float(x)]
    inner = {x.name: f"{x.name}_float16" for x in (*inputs, *outputs)}
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name in inner:
                    names[index] = inner[name]
    casts_in = [_cast(x.name, inner[x.name], TensorProto.FLOAT16) for x in inputs]
    casts_out = [_cast(inner[x.name], x.name, TensorProto.FLOAT) for x in outputs]
    nodes = [*casts_in, *graph.node, *casts_out]
    del graph.node[:]
    graph.node.extend(nodes)


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type == TensorProto.FLOAT


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}/Cast", to=to)
