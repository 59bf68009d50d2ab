"""The canonical graph, on a real export."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from schemas.base import Target
from schemas.surgery import SurgeryConfig
from tasks.surgery.parity import prove
from tasks.surgery.repair import repair
from tests.surgery.qdq_builder import Builder, named

TARGETS: tuple[Target, ...] = ("tensorrt", "tensorrt_rtx", "openvino", "onnxruntime")


def arrays(model: onnx.ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    return {x.name: numpy_helper.to_array(x) for x in model.graph.initializer}


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def activation_quantizers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "QuantizeLinear"]


def test_a_raw_export_loses_every_cast_and_constant_node(resnet18: Any) -> None:
    repaired, _ = repair(resnet18.model, "tensorrt")
    assert operators(resnet18.model)["Cast"] == 62
    assert not {"Cast", "Constant", "ConstantOfShape"} & operators(repaired).keys()


def test_activations_are_int8_with_zero_point_0_and_a_scalar_scale(resnet18: Any) -> None:
    repaired, _ = repair(resnet18.model, "tensorrt")
    values = arrays(repaired)
    for node in activation_quantizers(repaired):
        scale, zero_point = values[node.input[1]], values[node.input[2]]
        assert scale.shape == ()
        assert zero_point.shape == ()
        assert zero_point.dtype == np.int8
        assert zero_point == 0


def test_biases_of_convs_and_the_gemm_are_float32_initializers(resnet18: Any) -> None:
    repaired, _ = repair(resnet18.model, "tensorrt")
    values = arrays(repaired)
    biases = [n.input[2] for n in repaired.graph.node if n.op_type in ("Conv", "Gemm")]
    assert len(biases) == 21
    assert all(values[name].dtype == np.float32 for name in biases)


def test_the_integer_bias_in_the_add_behind_a_matmul_becomes_float32() -> None:
    builder = Builder()
    product = builder.op("MatMul", builder.pair("input", 0.1), builder.weights(8, 6, axis=1))
    scale = builder.constant(np.full(6, 1e-3, np.float32))
    integers = builder.constant(np.arange(6, dtype=np.int32))
    bias = builder.op("DequantizeLinear", integers, scale, axis=0)
    model = builder.model(builder.op("Add", product, bias, name="add"))
    repaired, _ = repair(model, "tensorrt")
    stored = arrays(repaired)[named(repaired, "add").input[1]]
    np.testing.assert_array_equal(stored, np.arange(6, dtype=np.float32) * np.float32(1e-3))


def test_a_conv_without_a_bias_gets_none_and_a_float_bias_is_not_touched() -> None:
    builder = Builder()
    bare = builder.op("Conv", builder.pair("input", 0.1), builder.weights(4, 4, 3, 3), name="bare")
    model = builder.model(builder.conv(builder.pair(bare, 0.2), 4, 4, "biased"))
    repaired, records = repair(model, "tensorrt")
    assert len(named(repaired, "bare").input) == 2
    assert named(repaired, "biased").input[2] == named(model, "biased").input[2]
    assert not next(x for x in records if x.name == "float_bias").changed


def test_weights_are_int8_per_channel_behind_a_dequantizer(resnet18: Any) -> None:
    repaired, _ = repair(resnet18.model, "openvino")
    values = arrays(repaired)
    makers = {node.output[0]: node for node in repaired.graph.node}
    for node in repaired.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            dequantizer = makers[node.input[1]]
            weights = values[dequantizer.input[0]]
            assert weights.dtype == np.int8
            assert weights.min() >= -127
            assert values[dequantizer.input[1]].shape == (weights.shape[0],)


@pytest.mark.parametrize("target", TARGETS)
def test_running_twice_changes_nothing(resnet18: Any, target: Target) -> None:
    once, _ = repair(resnet18.model, target)
    twice, records = repair(once, target)
    assert [r.name for r in records if r.changed] == []
    assert twice.SerializeToString() == once.SerializeToString()


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_outputs_and_the_open_batch_are_kept(resnet18: Any, target: Target) -> None:
    repaired, _ = repair(resnet18.model, target)
    assert list(repaired.graph.input) == list(resnet18.model.graph.input)
    assert list(repaired.graph.output) == list(resnet18.model.graph.output)


def test_the_raw_model_is_left_as_it_is(resnet18: Any) -> None:
    before = resnet18.model.SerializeToString()
    repair(resnet18.model, "openvino")
    assert resnet18.model.SerializeToString() == before


@pytest.mark.parametrize(
    "name",
    ["resnet18", "mobilenet_v2", pytest.param("googlenet", marks=pytest.mark.thorough)],
)
def test_passes_that_keep_values_are_bit_equal(exported: Callable[[str], Any], name: str) -> None:
    export = exported(name)
    repaired, records = repair(export.model, "openvino")
    report = prove(
        export.model,
        repaired,
        export.images,
        export.logits,
        "openvino",
        SurgeryConfig(),
        records,
    )
    assert report.parity[0].bit_equal
    measured = [r for r in report.passes if r.keeps_values and r.max_abs_difference is not None]
    assert len(measured) >= 4
    assert all(r.max_abs_difference == 0.0 for r in measured)


def test_openvino_gets_uint8_behind_every_relu_and_nowhere_else(resnet18: Any) -> None:
    repaired, _ = repair(resnet18.model, "openvino")
    values = arrays(repaired)
    makers = {node.output[0]: node for node in repaired.graph.node}
    for node in activation_quantizers(repaired):
        maker = makers.get(node.input[0])
        unsigned = values[node.input[2]].dtype == np.uint8
        if maker is None or maker.op_type == "Conv":
            assert not unsigned
        if maker is not None and maker.op_type == "Relu":
            assert unsigned
