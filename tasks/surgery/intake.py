"""What surgery takes in: a model it can read, or one line saying what is wrong with which node."""

import onnx

from schemas.base import Target
from schemas.errors import InputError

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
PROTOBUF_LIMIT_BYTES = 2**31 - 1


def admit(model: onnx.ModelProto, target: Target) -> onnx.ModelProto:  # noqa: ARG001
    """A model of the operators that the passes know, with the shapes of its tensors.

    Raises InputError, naming the node, where the graph is not a statically quantized one.
    """
    if not any(node.op_type in QUANTIZERS for node in model.graph.node):
        raise InputError(
            "the graph has no QuantizeLinear or DequantizeLinear node: quantize the network first"
        )
    if model.ByteSize() > PROTOBUF_LIMIT_BYTES:
        # Shape inference would have to serialize it; the passes do without shapes.
        return model
    return onnx.shape_inference.infer_shapes(model, data_prop=True)
