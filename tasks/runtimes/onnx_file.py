"""ONNX files with their external data: read, checked and digested."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.engine import Precision
from schemas.errors import InputError
from tasks.artifacts.store import sha256_of_file

if TYPE_CHECKING:
    import onnx


def read_structure(graph: Path) -> "onnx.ModelProto":
    """An ONNX model without its external data.

    Raises InputError where the file is not one, or external data is missing or lies elsewhere.
    """
    import onnx

    if not graph.is_file():
        raise InputError(f"no ONNX file {graph}: check the path")
    try:
        model = onnx.load(str(graph), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError derives from Exception alone
        raise InputError(f"{graph} is no ONNX file, or is cut short: export it again") from error
    if not model.graph.node:
        raise InputError(f"{graph} is no ONNX file, or holds no nodes: export it again")
    _external_files(graph, model)
    _check_order(graph, model)
    return model


def _check_order(graph: Path, model: "onnx.ModelProto") -> None:
    """Raises InputError where nodes wait for each other, or for what nothing makes.

    Compilers differ: some say nothing and build something else.
    """
    known = {"", *(x.name for x in (*model.graph.input, *model.graph.initializer))}
    known |= {x.values.name for x in model.graph.sparse_initializer}
    waiting = list(model.graph.node)
    while waiting:
        # One turn where nodes are in order, as ONNX wants them; compilers take others as well.
        late = []
        for node in waiting:
            if known.issuperset(node.input):
                known.update(node.output)
            else:
                late.append(node)
        if len(late) == len(waiting):
            node = late[0]
            lacking = next(name for name in node.input if name not in known)
            raise InputError(
                f"{graph}: {node.op_type} node {node.name!r} reads tensor {lacking!r}, which "
                "nothing before it makes: export it again"
            )
        waiting = late


def precision_of(graph: Path) -> Precision:
    """What a graph computes in, from its Q/DQ and the type of its weights."""
    import onnx

    model = read_structure(graph)
    half = any(x.data_type == onnx.TensorProto.FLOAT16 for x in model.graph.initializer)
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        return "int8+fp16" if half else "int8"
    return "float16" if half else "float32"


def graph_digest(graph: Path) -> str:
    """Hex SHA-256 of an ONNX file; with external data, of its digest and that of each such file."""
    own = sha256_of_file(graph)
    external = _external_files(graph, read_structure(graph))
    if not external:
        return own
    digest = hashlib.sha256(own.encode())
    for file in external:
        digest.update(f"{file.name} {sha256_of_file(file)}\n".encode())
    return digest.hexdigest()


def _external_files(graph: Path, model: "onnx.ModelProto") -> list[Path]:
    """The files that hold the model's larger tensors, in order of their names."""
    from onnx.external_data_helper import uses_external_data

    folder = graph.parent.resolve()
    found: set[Path] = set()
    for tensor in model.graph.initializer:
        if not uses_external_data(tensor):
            continue
        location = next((x.value for x in tensor.external_data if x.key == "location"), "")
        file = (folder / location).resolve()
        if not file.is_relative_to(folder):
            raise InputError(
                f"{graph} keeps tensor {tensor.name} in {location}, outside its own folder: "
                "save it again with its data beside it"
            )
        if not file.is_file():
            raise InputError(
                f"{graph} keeps tensor {tensor.name} in {location}, which is not there: "
                "copy that file too"
            )
        found.add(file)
    return sorted(found)
