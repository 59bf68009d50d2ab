"""Concats that feed a Concat, as in Inception's last blocks."""

import numpy as np
import onnx

from tasks.surgery.repair import repair
from tests.surgery.qdq_builder import Builder


def test_joined_concats_take_the_scale_of_the_outermost() -> None:
    builder = Builder()
    x = builder.pair("input", 0.1)
    branches = [builder.conv(x, 4, 4) for _ in range(3)]
    inner = builder.op(
        "Concat", *(builder.pair(b, 0.01 * (i + 1)) for i, b in enumerate(branches[:2])), axis=1
    )
    outer = builder.op("Concat", builder.pair(inner, 0.05), builder.pair(branches[2], 0.07), axis=1)
    output = builder.conv(builder.pair(outer, 0.2), 12, 4)
    repaired, records = repair(builder.model(output), "tensorrt_rtx")
    (record,) = (x for x in records if x.name == "align_concat")
    assert record.changed
    stored = {x.name: onnx.numpy_helper.to_array(x) for x in repaired.graph.initializer}
    joined = [
        name for node in repaired.graph.node if node.op_type == "Concat" for name in node.input
    ]
    makers = {node.output[0]: node for node in repaired.graph.node}
    scales = [
        float(stored[makers[name].input[1]])
        for name in joined
        if makers[name].op_type == "DequantizeLinear"
    ]
    assert len(scales) >= 3
    assert set(scales) == {float(np.float32(0.2))}
