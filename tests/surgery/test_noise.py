"""Surgery moves rounding about and must not add any: judged by the distance from FP32."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torchvision
from onnx import numpy_helper

from schemas.base import Gate, Target
from schemas.surgery import SurgeryConfig
from tasks.models.quiet import quiet
from tasks.surgery.parity import prove
from tasks.surgery.repair import repair
from tests.surgery.conftest import Export
from tests.surgery.exporters import fx


@pytest.fixture(scope="module")
def export() -> Export:
    with quiet():
        return fx(torchvision.models.resnet18(weights=None), 32)


def noise_gate(export: Export, repaired: onnx.ModelProto, target: Target) -> Gate:
    return gates(export, repaired, target, SurgeryConfig())["surgery noise against torch"]


def gates(
    export: Export, repaired: onnx.ModelProto, target: Target, config: SurgeryConfig
) -> dict[str, Gate]:
    _, records = repair(export.model, target)
    report = prove(
        export.model,
        repaired,
        export.images,
        export.logits,
        target,
        config,
        records,
        export.float_logits,
    )
    return {gate.name: gate for gate in report.gates}


@pytest.mark.parametrize("target", ["tensorrt", "openvino", "onnxruntime"])
def test_a_repaired_network_is_as_close_to_fp32_as_torch_int8(
    export: Export, target: Target
) -> None:
    repaired, _ = repair(export.model, target)
    gate = noise_gate(export, repaired, target)
    assert gate.passed, gate.detail


def test_a_graph_with_coarser_weights_is_not(export: Export) -> None:
    spoiled, _ = repair(export.model, "tensorrt")
    for tensor in spoiled.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4:
            coarse = numpy_helper.to_array(tensor) // 16 * 16
            tensor.CopyFrom(numpy_helper.from_array(coarse.astype(np.int8), tensor.name))
    assert not noise_gate(export, spoiled, "tensorrt").passed
    strict = SurgeryConfig(max_difference_steps=0.01)
    assert not gates(export, spoiled, "tensorrt", strict)["surgery difference to torch"].passed


def test_a_large_difference_is_none_where_it_leads_no_farther_from_fp32(export: Export) -> None:
    """int8 clips what OpenVINO's uint8 keeps, which can be many steps, towards FP32."""
    repaired, _ = repair(export.model, "openvino")
    strict = SurgeryConfig(max_difference_steps=0.01, max_noise_ratio=1.2)
    gate = gates(export, repaired, "openvino", strict)["surgery difference to torch"]
    assert gate.passed, gate.detail
    assert "times as far from FP32 as torch INT8's worst" in gate.detail
    nearer = replace(export, float_logits=None)
    gate = gates(nearer, repaired, "openvino", strict)["surgery difference to torch"]
    assert not gate.passed, gate.detail


def test_where_torch_int8_is_exact_nothing_may_be_added(export: Export) -> None:
    exact = replace(export, float_logits=export.logits)
    assert not noise_gate(exact, repair(export.model, "tensorrt")[0], "tensorrt").passed
