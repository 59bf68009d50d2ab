"""What surgery takes in: a model it can read, or one line saying what is wrong with which node."""

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.inliner
import onnx.version_converter

from schemas.errors import InputError, cause
from schemas.surgery import Precision
from tasks.surgery.passes.half_rest import LEAST_OPSET

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
OLDEST_OPSET = 13
PROTOBUF_LIMIT_BYTES = 2**31 - 1
LARGE_BYTES = 1 << 16
STAMP = "enginesmith.target"
_STANDARD = ("", "ai.onnx")
_FUSED = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear")


def read_model(file: Path) -> onnx.ModelProto:
    """The model in a file, with what it stores outside and its local functions inlined.

    Raises InputError where the file is missing, is not ONNX, is cut short, or its external data
    cannot be read or lies outside the file's own folder.
    """
    if not file.is_file():
        raise InputError(f"there is no ONNX file {file}: correct the path")
    own_bytes = file.stat().st_size
    _check_size(file, own_bytes)
    try:
        model = onnx.load(file, load_external_data=False)
    except Exception as error:
        raise InputError(
            f"{file} is not an ONNX model, or is cut short ({cause(error)}): export it again"
        ) from error
    if not model.graph.node:
        raise InputError(f"{file} is not an ONNX model, or has no nodes: export it again")
    if not all(isinstance(text, str) for text in _texts(model)):
        # protobuf gives such a name as bytes, and fails only where it is written again.
        raise InputError(f"{file} is damaged (a name in it is not UTF-8): export it again")
    _check_external(model, file)
    stored = _stored_bytes(model, file.parent)
    largest = max(stored, key=lambda name: stored[name], default="")
    _check_size(file, own_bytes + sum(stored.values()), f", most of it in tensor {largest!r}")
    try:
        onnx.load_external_data_for_model(model, str(file.parent))
    except Exception as error:
        raise InputError(
            f"{file}: its external data cannot be read ({cause(error)}): "
            "keep the data files beside it"
        ) from error
    for tensor in _tensors(model):
        _check_values(tensor, file)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise InputError(f"{file} breaks ONNX's rules ({cause(error)}): export it again") from error
    return _inlined(model)


def write_model(model: onnx.ModelProto, file: Path) -> None:
    """Write a model whole or not at all."""
    temporary = file.with_name(f".{file.name}.partial")
    try:
        temporary.write_bytes(model.SerializeToString())
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"{file} cannot be written ({error.strerror}): name another with -o"
        ) from error


def admit(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """The model without local functions, of an opset that passes know and ``precision`` needs.

    Raises InputError, naming the node, where the graph is not a statically quantized one.
    """
    model = _inlined(model)
    opset = opset_of(model)
    if opset < OLDEST_OPSET:
        raise InputError(
            f"the graph uses opset {opset}: export it again with {OLDEST_OPSET} at least, which "
            "scales per channel need"
        )
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise InputError(
            f"the graph uses opset {opset}, newer than the onnx library here knows: export it "
            f"again with {newest} at most"
        )
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        raise InputError(f"initializer {name!r} is a sparse tensor: export it dense")
    for index, node in enumerate(model.graph.node):
        _admit_node(node, node.name or f"{node.op_type}_{index}")
    # Surgery itself may have found that no integer kernel reads any of them.
    ours = any(x.key == STAMP for x in model.metadata_props)
    if not ours and not any(node.op_type in QUANTIZERS for node in model.graph.node):
        raise InputError(
            "the graph has no QuantizeLinear or DequantizeLinear node: quantize the network first"
        )
    return raise_opset(model, LEAST_OPSET) if precision == "int8+fp16" else model


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the bodies of its functions for their calls; raises InputError."""
    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:
        raise InputError(
            f"the graph's functions cannot be inlined ({cause(error)}): export it without them"
        ) from error


def _admit_node(node: onnx.NodeProto, name: str) -> None:
    where = f"{node.op_type} node {name!r}"
    if any(x.HasField("sparse_tensor") for x in node.attribute):
        raise InputError(f"{where} holds a sparse tensor: export it dense")
    if any(
        x.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for x in node.attribute
    ):
        raise InputError(
            f"{where} holds a subgraph, where quantizers cannot be moved: "
            "export the network without control flow"
        )
    if node.op_type in _FUSED and node.domain in _STANDARD:
        raise InputError(
            f"{where} computes on integers itself: "
            "export with QuantizeLinear and DequantizeLinear nodes (the QDQ format)"
        )
    if node.op_type in QUANTIZERS and node.domain not in _STANDARD:
        raise InputError(
            f"{where} is of domain {node.domain!r}: quantize to the standard operators, opset 13 up"
        )


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators that a model uses."""
    return next((x.version for x in model.opset_import if x.domain in _STANDARD), 0)


def raise_opset(model: onnx.ModelProto, least: int) -> onnx.ModelProto:
    """The model with operators of at least a version, by ONNX's own converter.

    Raises InputError, with the converter's reason, where it cannot.
    """
    if opset_of(model) >= least:
        return model
    try:
        raised = onnx.version_converter.convert_version(model, least)
    except Exception as error:
        raise InputError(
            f"the graph cannot be raised from opset {opset_of(model)} to {least} "
            f"({cause(error)}): export it at opset {least}"
        ) from error
    raised.ir_version = max(raised.ir_version, 9)
    return raised


def _texts(model: onnx.ModelProto) -> Iterator[object]:
    """Every name in a graph."""
    for node in model.graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    graph = model.graph
    for part in (graph.initializer, graph.input, graph.output, graph.value_info):
        yield from (item.name for item in part)
    for prop in model.metadata_props:
        yield from (prop.key, prop.value)
    yield from (x.domain for x in model.opset_import)


def _check_external(model: onnx.ModelProto, file: Path) -> None:
    folder = file.parent.resolve()
    for name, location in _locations(model):
        place = (folder / location).resolve()
        if not place.is_relative_to(folder):
            raise InputError(
                f"{file}: tensor {name!r} has its data at {location!r}, outside the model's "
                "folder: keep the data files beside it"
            )
        if not place.is_file():
            raise InputError(
                f"{file}: tensor {name!r} has its data in {location!r}, which is missing: "
                "keep the data files beside it"
            )


def _check_size(file: Path, whole_bytes: int, where: str = "") -> None:
    if whole_bytes > PROTOBUF_LIMIT_BYTES:
        raise InputError(
            f"{file} holds {whole_bytes / 1e9:.1f} GB{where}: "
            "split the network, as graphs beyond protobuf's 2 GB cannot be rewritten"
        )


def _stored_bytes(model: onnx.ModelProto, folder: Path) -> dict[str, int]:
    """Bytes of each tensor with external data, by name."""
    found = {}
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entries = {x.key: x.value for x in tensor.external_data}
            whole = (folder / entries["location"]).stat().st_size
            try:
                found[tensor.name] = int(entries.get("length", whole))
            except ValueError as error:
                raise InputError(
                    f"tensor {tensor.name!r} has external data of length {entries['length']!r}: "
                    "export it again"
                ) from error
    return found


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        yield from (a.t for a in node.attribute if a.HasField("t"))


def _check_values(tensor: onnx.TensorProto, file: Path) -> None:
    """Raises InputError where a tensor holds more or less than its shape says.

    ONNX's checker does not look. Large ones of whole bytes are judged by their length alone.
    """
    try:
        size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        if len(tensor.raw_data) > LARGE_BYTES and not kind.endswith(("INT4", "INT2", "E2M1")):
            if len(tensor.raw_data) != size * math.prod(tensor.dims):
                raise ValueError(f"{len(tensor.raw_data)} bytes for {list(tensor.dims)}")
        else:
            onnx.numpy_helper.to_array(tensor)
    except Exception as error:
        raise InputError(
            f"{file}: tensor {tensor.name!r} does not hold what its type and shape say "
            f"({cause(error)}): export it again"
        ) from error


def _locations(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield from ((tensor.name, x.value) for x in tensor.external_data if x.key == "location")
