"""Every output of a graph is proven, not its first alone, whatever shape it has."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from schemas.base import Gate, Target
from schemas.surgery import SurgeryConfig, SurgeryReport
from tasks.surgery import repair as repairing
from tasks.surgery.contract import Changes, Pass
from tasks.surgery.parity import prove
from tasks.surgery.pipeline import pipeline
from tasks.surgery.reference import ReferenceSession
from tests.surgery.qdq_builder import Builder, named


def two_headed() -> onnx.ModelProto:
    builder = Builder()
    x = builder.pair("input", 0.05)
    first = builder.conv(x, 4, 4, "first")
    second = builder.conv(builder.pair(builder.op("Relu", x), 0.1), 4, 4, "second")
    model: onnx.ModelProto = builder.model(first)
    shape = ("batch", 4, 8, 8)
    model.graph.output.append(helper.make_tensor_value_info(second, TensorProto.FLOAT, shape))
    return model


def proof(raw: onnx.ModelProto, spoiled: str = "") -> SurgeryReport:
    """The proof of a repair, after which the bias of a Conv was made another."""
    repaired, records = repairing.repair(raw, "tensorrt")
    if spoiled:
        name = named(repaired, spoiled).input[2]
        stored = next(x for x in repaired.graph.initializer if x.name == name)
        stored.CopyFrom(numpy_helper.from_array(np.full(4, 1e3, np.float32), name))
    images = np.random.default_rng(0).normal(size=(2, 4, 8, 8)).astype(np.float32)
    return prove(raw, repaired, images, None, "tensorrt", SurgeryConfig(), records)


def gate(report: SurgeryReport, name: str) -> Gate:
    return next(x for x in report.gates if x.name == name)


@pytest.mark.parametrize(("spoiled", "output"), [("first", "logits"), ("second", "second_out")])
def test_a_difference_in_any_output_is_measured_and_the_output_named(
    spoiled: str, output: str
) -> None:
    report = proof(two_headed(), spoiled)
    whole = next(x for x in report.parity if x.against == "raw export")
    assert not whole.bit_equal
    assert whole.max_difference_steps > 1e3
    difference = gate(report, "surgery difference to raw export")
    assert not difference.passed
    assert repr(output) in difference.detail
    assert gate(proof(two_headed()), "surgery difference to raw export").passed


class Spoils(Pass):
    """Says that it keeps values, and takes the Relu from the second output."""

    name = "spoils"
    keeps_values = True

    def change(self, graph: Any, changes: Changes) -> None:
        relu = next(node for node in graph.nodes if node.op == "Relu")
        relu.outputs[0].outputs[0].inputs[0] = relu.inputs[0]
        changes.changed.append(relu.name)


def test_a_pass_must_keep_the_values_of_every_output(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gate(proof(two_headed()), "surgery keeps values").passed
    spoiling = (*pipeline("tensorrt", "int8"), Spoils())
    monkeypatch.setattr(repairing, "pipeline", lambda *_: spoiling)
    keeps = gate(proof(two_headed()), "surgery keeps values")
    assert not keeps.passed
    assert "spoils" in keeps.detail
    assert "'second_out'" in keeps.detail


def detector(threshold: float) -> onnx.ModelProto:
    """Boxes chosen by scores that no integer kernel reads: other scores, another number of them."""
    builder = Builder()
    scores = builder.conv(builder.pair("input", 0.02), 4, 4, "scores")
    corners = builder.constant(np.array([1, 4, -1], np.int64))
    boxes = builder.op("Reshape", "input", builder.constant(np.array([0, -1, 4], np.int64)))
    flat = builder.op("Reshape", builder.pair(scores, 0.1), corners)
    limits = [builder.constant(np.array([x], kind)) for x, kind in ((999, np.int64),)]
    limits += [builder.constant(np.array([x], np.float32)) for x in (0.9, threshold)]
    chosen = builder.op("NonMaxSuppression", boxes, flat, *limits)
    model: onnx.ModelProto = builder.model(builder.op("Cast", chosen, to=TensorProto.FLOAT))
    return model


@pytest.mark.parametrize("target", ["tensorrt", "openvino", "onnxruntime"])
@pytest.mark.parametrize("threshold", [0.0, 1e6], ids=["many boxes", "none"])
def test_a_detector_is_measured_by_the_boxes_it_finds(threshold: float, target: Target) -> None:
    raw = detector(threshold)
    repaired, records = repairing.repair(raw, target)
    images = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)
    report = prove(raw, repaired, images, None, target, SurgeryConfig(), records)
    assert gate(report, "surgery keeps values").passed
    assert {x.images for x in report.parity} == {1}
    found = [ReferenceSession(each).run(images)["logits"] for each in (raw, repaired)]
    whole = report.parity[-1]
    assert whole.bit_equal == np.array_equal(*found)
    assert (whole.max_difference_steps == np.inf) == (found[0].shape != found[1].shape)
    assert SurgeryReport.model_validate_json(report.model_dump_json()) == report


def test_a_scalar_is_an_output_too() -> None:
    builder = Builder()
    total = builder.op("ReduceSum", builder.conv(builder.pair("input", 0.05), 4, 4), keepdims=0)
    report = proof(builder.model(total))
    assert all(x.passed for x in report.gates)
