"""Triton's own definition of ``config.pbtxt``, from the package tritonclient.

Its generated module cannot be imported: it was made for another protobuf and asks for gRPC. The
descriptor inside it can be, into a pool of its own.
"""

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message


def _serialized() -> bytes:
    """The argument of AddSerializedFile in the generated module, read and not run."""
    spec = importlib.util.find_spec("tritonclient")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if called and node.func.attr == "AddSerializedFile":
            value = ast.literal_eval(node.args[0])
            assert isinstance(value, bytes)
            return value
    raise AssertionError(f"{file} holds no descriptor")


@cache
def _model_config() -> type[Message]:
    definition = descriptor_pb2.FileDescriptorProto.FromString(_serialized())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(definition)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{definition.package}.ModelConfig")
    )


def parse(text: str) -> Any:
    """``config.pbtxt`` as a ModelConfig; a field or enumerator it does not know is an error."""
    return text_format.Parse(text, _model_config()())
