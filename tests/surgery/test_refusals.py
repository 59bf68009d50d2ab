"""What cannot be repaired is refused in one line that names the node."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from schemas.errors import InputError
from tasks.surgery.intake import read_model
from tasks.surgery.repair import repair
from tests.surgery.qdq_builder import Builder


def network(builder: Builder) -> onnx.ModelProto:
    return builder.model(builder.conv(builder.pair("input", 0.1), 4, 4))


def refusal(model: onnx.ModelProto, target: Any = "tensorrt") -> str:
    with pytest.raises(InputError) as caught:
        repair(model, target)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_no_quantizers() -> None:
    builder = Builder()
    assert "quantize the network first" in refusal(builder.model(builder.op("Relu", "input")))


def test_a_zero_point_that_is_not_zero_names_the_node() -> None:
    model = network(Builder(np.uint8(117)))
    message = refusal(model)
    assert "QuantizeLinear_" in message
    assert "zero-point 117" in message


def test_the_same_zero_point_is_no_trouble_for_openvino() -> None:
    model = network(Builder(np.uint8(117)))
    repaired, _ = repair(model, "openvino")
    assert repaired.graph.node


def test_several_zero_points_of_one_activation() -> None:
    builder = Builder()
    points = np.array([0, 3, -2, 0], np.int8)
    message = refusal(builder.model(builder.conv(builder.channels("input", 0.1, points), 4, 4)))
    assert "zero-points from -2 to 3" in message


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.FLOAT8E4M3FN])
def test_int4_and_fp8(kind: int) -> None:
    builder = Builder()
    zero = builder.name("zero")
    builder.initializers.append(helper.make_tensor(zero, kind, [], [0]))
    scale = builder.constant(np.float32(0.1))
    integers = builder.op("QuantizeLinear", "input", scale, zero, name="odd")
    real = builder.op("DequantizeLinear", integers, scale, zero)
    message = refusal(builder.model(builder.conv(real, 4, 4), opset=21))
    assert "'odd'" in message
    assert "quantize to int8 or uint8" in message


def test_scales_computed_at_run_time() -> None:
    builder = Builder()
    scale = builder.op("ReduceMax", builder.op("Abs", "input"), keepdims=0)
    zero = builder.constant(np.int8(0))
    integers = builder.op("QuantizeLinear", "input", scale, zero, name="dynamic")
    real = builder.op("DequantizeLinear", integers, scale, zero)
    assert "'dynamic'" in refusal(builder.model(builder.conv(real, 4, 4)))


def test_a_scale_of_zero() -> None:
    builder = Builder()
    message = refusal(builder.model(builder.conv(builder.pair("input", 0.0), 4, 4)))
    assert "not a positive number" in message


def test_control_flow() -> None:
    builder = Builder()
    real = builder.pair("input", 0.1)
    branch = helper.make_graph(
        [helper.make_node("Identity", [real], ["inside"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)],
    )
    flag = builder.constant(np.bool_(True))
    chosen = builder.op("If", flag, name="choice", then_branch=branch, else_branch=branch)
    model = builder.model(builder.conv(real, 4, 4))
    assert chosen in {name for node in model.graph.node for name in node.output}
    assert "If node 'choice'" in refusal(model)


def test_quantizers_of_another_domain() -> None:
    model = network(Builder())
    node = next(n for n in model.graph.node if n.op_type == "QuantizeLinear")
    node.domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert node.name in refusal(model)


def test_an_operator_of_a_custom_domain_is_kept() -> None:
    builder = Builder()
    odd = builder.op("Sharpen", builder.conv(builder.pair("input", 0.1), 4, 4), name="odd")
    builder.nodes[-1].domain = "acme"
    conv = builder.conv(builder.pair("input", 0.1), 4, 4)
    model = builder.model(conv, domain="acme")
    model.graph.output.append(
        helper.make_tensor_value_info(odd, TensorProto.FLOAT, ["batch", 4, 8, 8])
    )
    repaired, _ = repair(model, "tensorrt")
    assert "odd" in {node.name for node in repaired.graph.node}


def reading(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_model(file)
    assert str(file) in str(caught.value)
    return str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    assert "there is no ONNX file" in reading(tmp_path / "none.onnx")


def test_a_file_that_is_not_onnx(tmp_path: Path) -> None:
    file = tmp_path / "text.onnx"
    file.write_text("surely not a protobuf message")
    assert "not an ONNX model" in reading(file)


def test_an_empty_file(tmp_path: Path) -> None:
    file = tmp_path / "empty.onnx"
    file.write_bytes(b"")
    assert "not an ONNX model" in reading(file)


def test_a_truncated_file(tmp_path: Path) -> None:
    file = tmp_path / "cut.onnx"
    whole = network(Builder()).SerializeToString()
    file.write_bytes(whole[: len(whole) * 2 // 3])
    assert "cut short" in reading(file)


def external(tmp_path: Path) -> Path:
    file = tmp_path / "model" / "network.onnx"
    file.parent.mkdir()
    onnx.save(
        network(Builder()),
        file,
        save_as_external_data=True,
        location="network.data",
        size_threshold=0,
    )
    return file


def test_external_data_is_read(tmp_path: Path) -> None:
    repaired, _ = repair(read_model(external(tmp_path)), "tensorrt")
    assert repaired.graph.node


def test_missing_external_data(tmp_path: Path) -> None:
    file = external(tmp_path)
    (file.parent / "network.data").unlink()
    assert "network.data" in reading(file)


def test_external_data_outside_the_folder(tmp_path: Path) -> None:
    file = external(tmp_path)
    (file.parent / "network.data").rename(tmp_path / "network.data")
    model = onnx.load(file, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../network.data"
    file.write_bytes(model.SerializeToString())
    assert "outside the model's folder" in reading(file)


def test_a_model_beyond_2_gb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = external(tmp_path)
    model = onnx.load(file, load_external_data=False)
    weights = max(model.graph.initializer, key=lambda x: int(np.prod(x.dims)))
    for entry in weights.external_data:
        if entry.key == "length":
            entry.value = str(3 * 10**9)
    file.write_bytes(model.SerializeToString())
    message = reading(file)
    assert "3.0 GB" in message
    assert weights.name in message


def test_so_is_one_that_has_them_in_the_file_itself(tmp_path: Path) -> None:
    file = tmp_path / "large.onnx"
    with file.open("wb") as written:
        # The disk holds nothing of it.
        written.truncate(3 * 10**9)
    assert "3.0 GB" in reading(file)


def test_a_constant_of_text_stays_and_a_sparse_one_is_refused() -> None:
    builder = Builder()
    for value in ("a", "b"):
        builder.nodes.append(
            helper.make_node("Constant", [], [f"text_{value}"], f"text_{value}", value_string=value)
        )
    same = builder.op("Cast", builder.op("Equal", "text_a", "text_b"), to=TensorProto.FLOAT)
    added = builder.op("Add", builder.conv(builder.pair("input", 0.1), 4, 4), same)
    model = builder.model(added, opset=19)
    repaired, _ = repair(model, "tensorrt")
    assert {"text_a", "text_b"} <= {node.name for node in repaired.graph.node}
    values = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(1, np.float32), "values"),
        numpy_helper.from_array(np.zeros(1, np.int64), "indices"),
        [4],
    )
    model.graph.sparse_initializer.append(values)
    assert "initializer 'values' is a sparse tensor" in refusal(model)
