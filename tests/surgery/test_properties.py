"""Random quantized graphs: equal values, nothing left to do, nothing left to find."""

from typing import Any

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.surgery import SurgeryConfig
from tasks.surgery.lint import lint
from tasks.surgery.parity import prove
from tasks.surgery.repair import repair
from tests.surgery.qdq_builder import Builder

STEPS = ("conv", "relu", "maxpool", "add", "concat", "transpose", "gate", "branch", "bare")


@st.composite
def networks(draw: st.DrawFn) -> onnx.ModelProto:
    """Chains of quantized operators as exporters write them, skips and branches among them."""
    unsigned = draw(st.booleans())
    builder = Builder(
        np.uint8(128) if unsigned else np.int8(0),
        casts=draw(st.booleans()),
        seed=draw(st.integers(0, 2**16)),
    )
    scales = st.sampled_from([0.05, 0.1, 0.25])
    channels = 4
    x = builder.pair("input", draw(scales))
    earlier: list[tuple[str, int]] = []
    size = 8
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=8)):
        if step == "conv":
            x = builder.pair(builder.conv(x, channels, 4), draw(scales))
            channels = 4
        elif step == "relu":
            x = builder.pair(builder.op("Relu", x), draw(scales))
        elif step == "maxpool" and size > 2:
            pooled = builder.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            x = builder.pair(pooled, draw(scales))
            size //= 2
            earlier = []
        elif step == "add" and earlier:
            other, width = earlier[-1]
            left = builder.pair(builder.conv(x, channels, width), draw(scales))
            added = builder.op("Add", left, other)
            x = builder.pair(builder.op("Relu", added), draw(scales))
            channels = width
        elif step == "concat" and earlier and channels < 16:
            other, width = earlier[-1]
            x = builder.pair(builder.op("Concat", x, other, axis=1), draw(scales))
            channels += width
        elif step == "transpose":
            x = builder.pair(builder.op("Transpose", x, perm=[0, 1, 3, 2]), draw(scales))
        elif step == "gate":
            pooled = builder.pair(builder.op("GlobalAveragePool", x), draw(scales))
            gate = builder.pair(builder.op("Sigmoid", pooled), 1 / 127)
            x = builder.pair(builder.op("Mul", gate, x), draw(scales))
        elif step == "branch":
            earlier.append((x, channels))
        elif step == "bare":
            x = builder.conv(x, channels, 4)
            channels = 4
            x = builder.pair(x, draw(scales)) if draw(st.booleans()) else x
    return builder.model(x, opset=draw(st.sampled_from([13, 17, 19, 21])))


def operators(model: onnx.ModelProto) -> Any:
    return [(node.op_type, node.name) for node in model.graph.node]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(networks(), st.sampled_from(["tensorrt", "openvino", "onnxruntime"]))
def test_values_are_kept_where_promised_and_a_second_run_finds_nothing(
    model: onnx.ModelProto, target: Any
) -> None:
    repaired, records = repair(model, target)
    images = np.random.default_rng(1).normal(size=(2, 4, 8, 8)).astype(np.float32)
    report = prove(model, repaired, images, None, target, SurgeryConfig(), records)
    assert report.gates[0].passed, report.gates[0].detail
    again, second = repair(repaired, target)
    assert [record.name for record in second if record.changed] == []
    assert operators(again) == operators(repaired)
    assert [f for f in lint(repaired, target).findings if f.severity == "error"] == []
    assert list(repaired.graph.input) == list(model.graph.input)
    assert list(repaired.graph.output) == list(model.graph.output)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(networks())
def test_float16_for_the_rest_is_settled_after_one_run_and_stays_close(
    model: onnx.ModelProto,
) -> None:
    repaired, records = repair(model, "tensorrt", "int8+fp16")
    images = np.random.default_rng(1).normal(size=(2, 4, 8, 8)).astype(np.float32)
    config = SurgeryConfig(precision="int8+fp16")
    report = prove(model, repaired, images, None, "tensorrt", config, records)
    assert report.gates[0].passed, report.gates[0].detail
    _, second = repair(repaired, "tensorrt", "int8+fp16")
    assert [record.name for record in second if record.changed] == []
