"""ONNX files with a fault."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.corpus.case import Given
from tests.surgery.qdq_builder import Builder

Change = Callable[[onnx.ModelProto], object]


def sound(builder: Builder | None = None, **model: Any) -> onnx.ModelProto:
    """A quantized convolution."""
    builder = builder or Builder()
    made: onnx.ModelProto = builder.model(builder.conv(builder.pair("input", 0.1), 4, 4), **model)
    return made


def graph(change: Change | None = None, model: onnx.ModelProto | None = None) -> Given:
    """``net.onnx``: the sound graph, or ``model``, after ``change``."""

    def give(folder: Path) -> None:
        made = onnx.ModelProto()
        made.CopyFrom(model if model is not None else sound())
        if change is not None:
            change(made)
        (folder / "net.onnx").write_bytes(made.SerializeToString())

    return give


def cut(folder: Path) -> None:
    """``net.onnx`` without its last third."""
    whole = sound().SerializeToString()
    (folder / "net.onnx").write_bytes(whole[: len(whole) * 2 // 3])


def external(**entries: str) -> Given:
    """``net.onnx`` with its weights in ``net.data``, as ``entries`` say of the largest tensor."""

    def give(folder: Path) -> None:
        file = folder / "net.onnx"
        onnx.save(sound(), file, save_as_external_data=True, location="net.data", size_threshold=0)
        model = onnx.load(file, load_external_data=False)
        tensor = max(model.graph.initializer, key=lambda x: int(np.prod(x.dims)))
        for entry in tensor.external_data:
            entry.value = entries.get(entry.key, entry.value)
        file.write_bytes(model.SerializeToString())

    return give


def without_data(folder: Path) -> None:
    (folder / "net.data").unlink()


def data_by_link(folder: Path) -> None:
    """``net.data`` is a link to a file elsewhere."""
    (folder / "elsewhere").mkdir()
    (folder / "net.data").rename(folder / "elsewhere/net.data")
    (folder / "inside").mkdir()
    (folder / "net.onnx").rename(folder / "inside/net.onnx")
    (folder / "inside/net.data").symlink_to("../elsewhere/net.data")


def odd_grid(kind: int) -> onnx.ModelProto:
    """Activations in a type that is no int8."""
    builder = Builder()
    zero = builder.name("zero")
    builder.initializers.append(helper.make_tensor(zero, kind, [], [0]))
    scale = builder.constant(np.float32(0.1))
    integers = builder.op("QuantizeLinear", "input", scale, zero, name="odd")
    real = builder.op("DequantizeLinear", integers, scale, zero)
    return sound_after(builder, real, opset=21)


def sound_after(builder: Builder, tensor: str, **model: Any) -> onnx.ModelProto:
    made: onnx.ModelProto = builder.model(builder.conv(tensor, 4, 4), **model)
    return made


def uneven_zero_points() -> onnx.ModelProto:
    builder = Builder()
    return sound_after(builder, builder.channels("input", 0.1, np.array([0, 3, -2, 0], np.int8)))


def dynamic_scale() -> onnx.ModelProto:
    builder = Builder()
    scale = builder.op("ReduceMax", builder.op("Abs", "input"), keepdims=0)
    zero = builder.constant(np.int8(0))
    integers = builder.op("QuantizeLinear", "input", scale, zero, name="dynamic")
    return sound_after(builder, builder.op("DequantizeLinear", integers, scale, zero))


def scaled(scale: float) -> onnx.ModelProto:
    builder = Builder()
    return sound_after(builder, builder.pair("input", scale))


def more_zero_points() -> onnx.ModelProto:
    """Three zero-points for one scale."""
    builder = Builder()
    scale, zero = builder.constant(np.float32(0.1)), builder.constant(np.zeros(3, np.int8))
    integers = builder.op("QuantizeLinear", "input", scale, builder.constant(np.int8(0)))
    model = sound_after(builder, builder.op("DequantizeLinear", integers, scale))
    next(x for x in model.graph.node if x.op_type == "QuantizeLinear").input[2] = zero
    return model


def batch_of_one() -> onnx.ModelProto:
    """An open batch, and a Reshape inside that takes a single image."""
    builder = Builder()
    one = builder.constant(np.array([1, 4, 8, 8], np.int64))
    return sound_after(builder, builder.op("Reshape", builder.pair("input", 0.1), one, name="one"))


def unquantized() -> onnx.ModelProto:
    builder = Builder()
    made: onnx.ModelProto = builder.model(builder.op("Relu", "input"))
    return made


def control_flow(kind: str) -> onnx.ModelProto:
    """An If or a Loop around the quantized activation."""
    builder = Builder()
    real = builder.pair("input", 0.1)
    value = [helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)]
    same = helper.make_node("Identity", [real], ["inside"])
    flag = builder.constant(np.bool_(True))
    if kind == "If":
        branch = helper.make_graph([same], "branch", [], value)
        builder.op("If", flag, name="choice", then_branch=branch, else_branch=branch)
    else:
        given = [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        ]
        on = helper.make_node("Identity", ["on"], ["still"])
        done = [helper.make_tensor_value_info("still", TensorProto.BOOL, []), *value]
        body = helper.make_graph([on, same], "body", given, done)
        builder.op("Loop", builder.constant(np.int64(2)), flag, name="turns", body=body)
    return sound_after(builder, real)


def foreign(model: onnx.ModelProto) -> None:
    """Quantizers of another domain."""
    next(x for x in model.graph.node if x.op_type == "QuantizeLinear").domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def sparse(model: onnx.ModelProto) -> None:
    """A constant of which only two values are stored."""
    parts = np.float32([1, 2]), np.int64([0, 3])
    values = helper.make_sparse_tensor(*map(onnx.numpy_helper.from_array, parts), [4])
    model.graph.node.insert(
        0, helper.make_node("Constant", [], ["odd"], "sparse", sparse_value=values)
    )


def cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


def twice(model: onnx.ModelProto) -> None:
    """Two nodes make one tensor."""
    model.graph.node.append(model.graph.node[-1])


def without_initializers(model: onnx.ModelProto) -> None:
    del model.graph.initializer[:]


def empty(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


def opset(version: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = version

    return change


def ir_version(version: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.ir_version = version

    return change


def claims(model: onnx.ModelProto) -> None:
    """A tensor says that it has 16 billion values, and holds a few."""
    largest = max(model.graph.initializer, key=lambda x: int(np.prod(x.dims)))
    largest.dims[0] = 4_000_000_000


def negative(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-5]


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Sharpen"


def input_of(kind: int, *shape: int | str) -> Change:
    """The input is of another type or shape."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", kind, shape))

    return change


def two_inputs(model: onnx.ModelProto) -> None:
    more = helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", 4, 8, 8])
    model.graph.input.append(more)
    model.graph.node[0].input[0] = "both"
    model.graph.node.insert(0, helper.make_node("Add", ["input", "mask"], ["both"], "both"))


def fused(model: onnx.ModelProto) -> None:
    """An operator that computes on integers by itself."""
    grid = model.graph.node[0].input[1:3]
    model.graph.node.append(
        helper.make_node("ConvInteger", [model.graph.node[0].output[0]] * 2, ["fused"], "fused")
    )
    assert grid
