"""Small quantized graphs, written node by node."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tasks.surgery.repair import repair


class Builder:
    """Grows a graph; every method returns the name of the tensor it made.

    ``zero_point`` is of the activations' integers: ``np.uint8(128)`` as PyTorch exports them,
    ``np.int8(0)`` as compilers want them.
    """

    def __init__(self, zero_point: Any = None, *, casts: bool = False, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.zero_point = np.int8(0) if zero_point is None else zero_point
        self.casts = casts
        self.random = np.random.default_rng(seed)
        self._count = 0

    def name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def constant(self, values: Any) -> str:
        name = self.name("constant")
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or self.name(kind)
        output = f"{name}_out"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    def quantize(self, tensor: str, scale: float) -> str:
        grid = self.constant(np.float32(scale)), self.constant(self.zero_point)
        return self.op("QuantizeLinear", tensor, *grid)

    def dequantize(self, integers: str, scale: float) -> str:
        if self.casts:
            kind = helper.np_dtype_to_tensor_dtype(np.asarray(self.zero_point).dtype)
            integers = self.op("Cast", integers, to=kind)
        grid = self.constant(np.float32(scale)), self.constant(self.zero_point)
        return self.op("DequantizeLinear", integers, *grid)

    def pair(self, tensor: str, scale: float) -> str:
        return self.dequantize(self.quantize(tensor, scale), scale)

    def channels(self, tensor: str, scale: Any, zero_point: Any) -> str:
        """A pair with a scale for each of the four channels."""
        grid = [
            self.constant(np.float32(scale) * np.ones(4, np.float32)),
            self.constant(zero_point),
        ]
        integers = self.op("QuantizeLinear", tensor, *grid, axis=1, name="channels")
        return self.op("DequantizeLinear", integers, *grid, axis=1)

    def weights(self, *shape: int, axis: int = 0, lowest: int = -127) -> str:
        integers = self.random.integers(lowest, 128, shape).astype(np.int8)
        scale = self.random.uniform(0.001, 0.01, shape[axis]).astype(np.float32)
        zeros = np.zeros(shape[axis], np.int8)
        inputs = [self.constant(x) for x in (integers, scale, zeros)]
        return self.op("DequantizeLinear", *inputs, axis=axis)

    def conv(self, tensor: str, channels_in: int, channels_out: int, name: str = "") -> str:
        bias = self.constant(self.random.normal(size=channels_out).astype(np.float32))
        weights = self.weights(channels_out, channels_in, 3, 3)
        return self.op("Conv", tensor, weights, bias, name=name, pads=[1, 1, 1, 1])

    def model(
        self, output: str, *, channels: int = 4, size: int = 8, opset: int = 17, domain: str = ""
    ) -> Any:
        """The graph from input ``input`` float32[batch, channels, size, size] to ``output``."""
        self.nodes.append(helper.make_node("Identity", [output], ["logits"], name="output"))
        graph = helper.make_graph(
            self.nodes,
            "built",
            [
                helper.make_tensor_value_info(
                    "input", TensorProto.FLOAT, ["batch", channels, size, size]
                )
            ],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
            self.initializers,
        )
        domains = [helper.make_opsetid("", opset)]
        domains += [helper.make_opsetid(domain, 1)] if domain else []
        model = helper.make_model(graph, opset_imports=domains)
        model.ir_version = 9
        inferred = onnx.shape_inference.infer_shapes(model)
        model.graph.output[0].CopyFrom(next(x for x in inferred.graph.output if x.name == "logits"))
        onnx.checker.check_model(model, full_check=True)
        return model


def makers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def named(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def sources(model: onnx.ModelProto, name: str) -> list[str]:
    """The operators that make a node's inputs; initializers and inputs are left out."""
    made = makers(model)
    return [made[x].op_type for x in named(model, name).input if x in made]


def repaired(model: onnx.ModelProto, target: Any = "tensorrt") -> onnx.ModelProto:
    return repair(model, target)[0]
