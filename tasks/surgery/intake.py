"""What surgery takes in: a model it can read, or one line saying what is wrong with which node."""

import onnx
import onnx.version_converter

from schemas.base import Target
from schemas.errors import InputError
from schemas.surgery import Precision
from tasks.surgery.passes.half_rest import LEAST_OPSET

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
PROTOBUF_LIMIT_BYTES = 2**31 - 1


def admit(model: onnx.ModelProto, target: Target, precision: Precision) -> onnx.ModelProto:  # noqa: ARG001
    """A model of the operators that the passes know, with the shapes of its tensors.

    Raises InputError, naming the node, where the graph is not a statically quantized one.
    """
    if not any(node.op_type in QUANTIZERS for node in model.graph.node):
        raise InputError(
            "the graph has no QuantizeLinear or DequantizeLinear node: quantize the network first"
        )
    if precision == "int8+fp16":
        model = raise_opset(model, LEAST_OPSET)
    return with_shapes(model)


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that says the shape and type of every tensor where they can be inferred."""
    if model.ByteSize() > PROTOBUF_LIMIT_BYTES:
        # Inference would have to serialize it; the passes do without shapes.
        return model
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators that a model uses."""
    return next((x.version for x in model.opset_import if x.domain in ("", "ai.onnx")), 0)


def raise_opset(model: onnx.ModelProto, least: int) -> onnx.ModelProto:
    """The model with operators of at least a version, by ONNX's own converter.

    Raises InputError, with the converter's reason, where it cannot.
    """
    if opset_of(model) >= least:
        return model
    try:
        raised = onnx.version_converter.convert_version(model, least)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"the graph cannot be raised from opset {opset_of(model)} to {least}: {reason}; "
            f"export it at opset {least}"
        ) from error
    raised.ir_version = max(raised.ir_version, 9)
    return raised
