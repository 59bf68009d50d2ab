"""Taking single nodes of a Q/DQ graph back to float."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from schemas.errors import InputError, nearest
from tasks.runtimes.onnx_file import read_structure


def quantized_nodes(graph: Path) -> list[str]:
    """Names of the nodes with a dequantized input, in the graph's order."""
    model = read_structure(graph)
    dequantized = {
        node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"
    }
    return [
        node.name
        for node in model.graph.node
        if node.op_type != "QuantizeLinear" and dequantized & set(node.input)
    ]


def unquantize(graph: Path, names: Iterable[str], target: Path) -> Path:
    """Write to ``target`` the graph whose nodes ``names`` compute in float.

    1. An activation is read before its QuantizeLinear, so it keeps its float value.
    2. A weight becomes the float32 values that its DequantizeLinear gives.
    3. Other readers of the same Q/DQ keep it; one that nobody reads any more is removed.

    Raises InputError where a name is not in the graph.
    """
    model = onnx.load(str(graph))
    nodes = {node.name: node for node in model.graph.node}
    producers = {tensor: node for node in model.graph.node for tensor in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in names:
        if name not in nodes:
            raise InputError(
                f"{graph.name} has no node {name} to leave in float: {nearest(name, nodes)}"
            )
        node = nodes[name]
        for index, tensor in enumerate(node.input):
            dequantize = producers.get(tensor)
            if dequantize is None or dequantize.op_type != "DequantizeLinear":
                continue
            quantize = producers.get(dequantize.input[0])
            if quantize is not None and quantize.op_type == "QuantizeLinear":
                node.input[index] = quantize.input[0]
            elif dequantize.input[0] in constants:
                node.input[index] = _float_weight(model, dequantize, constants)
    _remove_unread(model)
    onnx.save(model, str(target))
    return target


def _float_weight(
    model: onnx.ModelProto, dequantize: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> str:
    name = f"{dequantize.output[0]}_float"
    if name not in constants:
        values = numpy_helper.to_array(constants[dequantize.input[0]]).astype(np.float32)
        scale = numpy_helper.to_array(constants[dequantize.input[1]]).astype(np.float32)
        if scale.ndim:
            axis = next((x.i for x in dequantize.attribute if x.name == "axis"), 1)
            shape = [1] * values.ndim
            shape[axis] = -1
            scale = scale.reshape(shape)
        # The zero-point is 0: the parser accepts nothing else.
        tensor = numpy_helper.from_array(values * scale, name)
        model.graph.initializer.append(tensor)
        constants[name] = tensor
    return name


def _remove_unread(model: onnx.ModelProto) -> None:
    kept_outputs = {output.name for output in model.graph.output}
    while True:
        read = {tensor for node in model.graph.node for tensor in node.input} | kept_outputs
        unread = [
            node
            for node in model.graph.node
            if node.op_type in ("QuantizeLinear", "DequantizeLinear")
            and not read & set(node.output)
        ]
        if not unread:
            break
        for node in unread:
            model.graph.node.remove(node)
    read = {tensor for node in model.graph.node for tensor in node.input}
    for tensor in [x for x in model.graph.initializer if x.name not in read]:
        model.graph.initializer.remove(tensor)
