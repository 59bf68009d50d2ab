"""The lint reports what the original article had to repair, and nothing on what surgery made."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from schemas.base import Target
from schemas.errors import InputError
from tasks.surgery.lint import lint
from tasks.surgery.repair import repair
from tests.surgery.qdq_builder import Builder


def codes(model: onnx.ModelProto, target: Target = "tensorrt") -> Counter[str]:
    return Counter(finding.code for finding in lint(model, target).findings)


def test_a_raw_export_shows_casts_zero_points_integer_biases_and_cut_residuals(
    resnet18: Any,
) -> None:
    found = codes(resnet18.model)
    assert found["QDQ101"] == 41
    assert found["QDQ103"] > 0
    assert found["QDQ104"] > 0
    assert found["QDQ107"] == 21
    assert found["QDQ201"] == 8
    assert found["QDQ203"] == 1


@pytest.mark.parametrize("target", ["tensorrt", "tensorrt_rtx", "openvino", "onnxruntime"])
@pytest.mark.parametrize(
    "name",
    ["resnet18", "mobilenet_v2", pytest.param("googlenet", marks=pytest.mark.thorough)],
)
def test_nothing_is_found_on_what_surgery_made(
    exported: Callable[[str], Any], name: str, target: Target
) -> None:
    repaired, _ = repair(exported(name).model, target)
    assert lint(repaired, target).findings == ()


def test_findings_name_the_node_and_the_fix(resnet18: Any) -> None:
    finding = next(f for f in lint(resnet18.model, "tensorrt").findings if f.code == "QDQ107")
    assert finding.node in {node.name for node in resnet18.model.graph.node}
    assert "float32" in finding.fix


def test_lint_leaves_the_model_as_it_is(resnet18: Any) -> None:
    before = resnet18.model.SerializeToString()
    lint(resnet18.model, "tensorrt")
    assert resnet18.model.SerializeToString() == before


def conv_behind(builder: Builder, tensor: str) -> onnx.ModelProto:
    return builder.model(builder.conv(tensor, 4, 4))


def test_a_vector_scale_for_a_whole_tensor() -> None:
    builder = Builder()
    scale, zero = (builder.constant(x) for x in (np.float32([0.1]), np.int8([0])))
    integers = builder.op("QuantizeLinear", "input", scale, zero)
    real = builder.op("DequantizeLinear", integers, scale, zero)
    assert codes(conv_behind(builder, real))["QDQ105"] == 2


def test_a_float64_bias() -> None:
    builder = Builder()
    model = conv_behind(builder, builder.pair("input", 0.1))
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    bias = next(x for x in model.graph.initializer if x.name == conv.input[2])
    bias.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(bias).astype(np.float64), bias.name)
    )
    assert codes(model)["QDQ108"] == 1


def test_per_channel_activations() -> None:
    builder = Builder()
    model = conv_behind(builder, builder.channels("input", 0.1, np.zeros(4, np.int8)))
    assert codes(model)["QDQ106"] == 2
    assert "QDQ106" not in codes(model, "openvino")


def test_an_unsigned_quantizer_behind_a_conv_cuts_off_negative_values() -> None:
    builder = Builder()
    conv = builder.conv(builder.pair("input", 0.1), 4, 4)
    builder.zero_point = np.uint8(0)
    assert codes(conv_behind(builder, builder.pair(conv, 0.1)), "openvino")["QDQ110"] == 1


def test_the_same_tensor_quantized_twice() -> None:
    builder = Builder()
    first, second = builder.pair("input", 0.1), builder.pair("input", 0.1)
    total = builder.op("Add", builder.conv(first, 4, 4), builder.conv(second, 4, 4))
    assert codes(builder.model(total))["QDQ205"] == 1


def test_only_one_factor_of_a_product_is_quantized() -> None:
    builder = Builder()
    weights = builder.constant(np.ones((4, 4, 3, 3), np.float32))
    conv = builder.op("Conv", builder.pair("input", 0.1), weights)
    found = codes(builder.model(conv))
    assert found["QDQ208"] == 1
    assert found["QDQ203"] == 1


@pytest.mark.parametrize("scale", [0.0, -0.1, float("nan"), float("inf")])
def test_a_scale_that_is_not_a_positive_number(scale: float) -> None:
    builder = Builder()
    found = codes(conv_behind(builder, builder.pair("input", scale)), "onnxruntime")
    assert found["QDQ111"] == 2


def test_a_graph_that_no_rule_sees_anything_in_is_refused_and_not_passed() -> None:
    builder = Builder()
    with pytest.raises(InputError, match="quantize the network first"):
        lint(builder.model(builder.op("Relu", "input")), "tensorrt")
    model = conv_behind(Builder(), "input")
    model.graph.node[0].domain = "com.microsoft"
    with pytest.raises(InputError, match=r"of domain 'com\.microsoft'"):
        lint(model, "tensorrt")


@pytest.mark.parametrize("kind", [onnx.TensorProto.INT4, onnx.TensorProto.FLOAT8E4M3FN])
def test_weights_of_int4_and_fp8_are_found(kind: int) -> None:
    builder = Builder()
    scale = builder.constant(np.float32(0.1))
    zero = onnx.helper.make_tensor("zero", kind, (), [0])
    builder.initializers.append(zero)
    real = builder.constant(np.ones((4, 4, 3, 3), np.float32))
    integers = builder.op("QuantizeLinear", real, scale, "zero")
    weights = builder.op("DequantizeLinear", integers, scale, "zero")
    conv = builder.op("Conv", builder.pair("input", 0.1), weights)
    assert codes(builder.model(conv, opset=21))["QDQ109"] == 2


def test_a_scale_computed_ahead_of_a_cast() -> None:
    builder = Builder()
    scale = builder.op("Abs", builder.op("ReduceMean", "input", keepdims=0))
    zero = builder.constant(np.int8(0))
    integers = builder.op("QuantizeLinear", "input", scale, zero)
    cast = builder.op("Cast", integers, to=onnx.TensorProto.INT8)
    real = builder.op("DequantizeLinear", cast, scale, zero)
    assert codes(conv_behind(builder, real))["QDQ102"] == 2


def test_a_single_number_stored_as_an_integer() -> None:
    builder = Builder()
    half = builder.dequantize(builder.constant(np.int8(64)), 1 / 128)
    conv = builder.conv(builder.pair("input", 0.1), 4, 4)
    model = builder.model(builder.op("Mul", conv, half))
    assert codes(model, "tensorrt_rtx")["QDQ112"] == 1
    assert "QDQ112" not in codes(model, "openvino")
    repaired, records = repair(model, "tensorrt_rtx")
    assert len(next(x for x in records if x.name == "float_bias").changed) == 1
    assert "QDQ112" not in codes(repaired, "tensorrt_rtx")


def test_weights_of_minus_128() -> None:
    builder = Builder()
    weights = builder.weights(4, 4, 3, 3, lowest=-128)
    conv = builder.op("Conv", builder.pair("input", 0.1), weights)
    model = builder.model(conv)
    stored = next(x for x in model.graph.initializer if len(x.dims) == 4)
    values = numpy_helper.to_array(stored).copy()
    values[0, 0, 0, 0] = -128
    stored.CopyFrom(numpy_helper.from_array(values, stored.name))
    assert codes(model)["QDQ207"] == 1
    assert codes(repair(model, "tensorrt")[0])["QDQ207"] == 0
