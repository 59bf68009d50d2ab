"""Real networks as ONNX, float and quantized, made in seconds and without calibration.

Their weights are random and every activation has the same scale: enough for claims about what
compilers do with a graph, none about accuracy.
"""

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import torchvision
from onnx import helper, numpy_helper

SCALE, ZERO = "activation_scale", "activation_zero"


def export(name: str, folder: Path, *, size: int = 32, batch: int | None = None) -> Path:
    """A torchvision network in float32; ``batch`` None leaves the batch dynamic."""
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(num_classes=10).eval()
    buffer = io.BytesIO()
    axes = {"images": {0: "N"}, "logits": {0: "N"}} if batch is None else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own age
        torch.onnx.export(
            network,
            (torch.zeros(batch or 1, 3, size, size),),
            buffer,
            dynamo=False,
            opset_version=17,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes=axes,
        )
    path = folder / f"{name}-{size}-{batch or 'n'}.onnx"
    path.write_bytes(buffer.getvalue())
    return path


def quantize(
    source: Path, target: Path, *, float_nodes: tuple[str, ...] = (), cut_adds: bool = False
) -> Path:
    """Q/DQ as NVIDIA places them: inputs and weights of Conv and Gemm, the skip side of Adds.

    ``float_nodes`` are left alone; ``cut_adds`` quantizes the conv's side of an Add too, which
    keeps the two from being fused.
    """
    model = onnx.load(source)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {tensor: node for node in graph.node for tensor in node.output}
    nodes: list[onnx.NodeProto] = []
    quantized: dict[str, str] = {}
    graph.initializer.append(numpy_helper.from_array(np.array(0.05, np.float32), SCALE))
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int8), ZERO))

    def activation(tensor: str) -> str:
        if tensor not in quantized:
            inner, outer = f"{tensor}_q", f"{tensor}_dq"
            nodes.append(
                helper.make_node(
                    "QuantizeLinear", [tensor, SCALE, ZERO], [inner], name=f"{tensor}/Q"
                )
            )
            nodes.append(
                helper.make_node(
                    "DequantizeLinear", [inner, SCALE, ZERO], [outer], name=f"{tensor}/DQ"
                )
            )
            quantized[tensor] = outer
        return quantized[tensor]

    def weight(name: str) -> str:
        values = numpy_helper.to_array(constants[name])
        scale = np.abs(values).reshape(len(values), -1).max(axis=1) / 127 + 1e-8
        steps = np.round(values / scale.reshape(-1, *[1] * (values.ndim - 1)))
        for suffix, array in (
            ("int8", np.clip(steps, -127, 127).astype(np.int8)),
            ("scale", scale.astype(np.float32)),
            ("zero", np.zeros(len(scale), np.int8)),
        ):
            graph.initializer.append(numpy_helper.from_array(array, f"{name}_{suffix}"))
        inputs = [f"{name}_int8", f"{name}_scale", f"{name}_zero"]
        nodes.append(
            helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"], name=f"{name}/DQ", axis=0)
        )
        graph.initializer.remove(constants[name])
        return f"{name}_dq"

    for node in list(graph.node):
        if node.op_type in ("Conv", "Gemm") and node.name not in float_nodes:
            node.input[1] = weight(node.input[1])
            node.input[0] = activation(node.input[0])
        elif node.op_type == "Add":
            first_conv = True
            for index, tensor in enumerate(node.input):
                maker = makers.get(tensor)
                is_conv = maker is not None and maker.op_type == "Conv"
                if cut_adds or not (is_conv and first_conv):
                    node.input[index] = activation(tensor)
                first_conv = first_conv and not is_conv
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, target)
    return target
