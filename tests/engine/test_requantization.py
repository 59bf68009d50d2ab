"""Why MobileNetV2's INT8 plan is larger than its weights: where TensorRT for RTX requantizes.

Each claim is the compiler's own, about graphs of a few nodes. Should one fail with a later version,
the bound that docs/engines.md calls out of reach may have come within it.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorrt_rtx

from schemas.engine import LayerTable, TensorRtRtxConfig
from tasks.runtimes.trt import build_log
from tasks.runtimes.trt.compiler import compile_plan
from tests.surgery.qdq_builder import Builder

CHANNELS = 32
# What the compiler writes between its own definitions and a generated kernel's source.
DEFINITIONS_END = b"/*__MYELIN_NVRTC_KGEN_BUILTINS_END__*/"


def compiled(builder: Builder, output: str, folder: Path) -> tuple[LayerTable, bytes]:
    onnx.save(builder.model(output, channels=CHANNELS), folder / "chain.onnx")
    made = compile_plan(
        tensorrt_rtx,
        folder / "chain.onnx",
        folder / "plan",
        TensorRtRtxConfig(),
        lambda _: None,
    )
    return build_log.layer_table(made.layer_log), (folder / "plan").read_bytes()


def weights(builder: Builder, *shape: int, one_scale: bool) -> str:
    if not one_scale:
        return builder.weights(*shape)
    integers = builder.random.integers(-127, 128, shape).astype(np.int8)
    inputs = [builder.constant(x) for x in (integers, np.float32(0.01), np.int8(0))]
    return builder.op("DequantizeLinear", *inputs)


def convolutions(builder: Builder, scales: tuple[float, ...], form: str = "usual") -> str:
    """A convolution behind a Q/DQ of each of ``scales``, and a last Q/DQ."""
    tensor, group = "input", CHANNELS if form == "depthwise" else 1
    size = 3 if form == "depthwise" else 1
    for scale in scales:
        inputs = [builder.pair(tensor, scale)]
        inputs.append(
            weights(builder, CHANNELS, CHANNELS // group, size, size, one_scale=form == "one scale")
        )
        if form != "one scale":
            inputs.append(builder.constant(np.ones(CHANNELS, np.float32)))
        tensor = builder.op("Conv", *inputs, group=group, pads=[size // 2] * 4)
        if form == "relu6":
            tensor = builder.op(
                "Clip", tensor, builder.constant(np.float32(0)), builder.constant(np.float32(6))
            )
    return builder.pair(tensor, scales[-1])


@pytest.mark.parametrize("form", ["usual", "one scale", "relu6", "depthwise"])
def test_no_convolution_writes_int8_so_a_generated_kernel_follows_each(
    form: str, tmp_path: Path
) -> None:
    builder = Builder()
    table, _ = compiled(builder, convolutions(builder, (0.05, 0.05, 0.05), form), tmp_path)
    kernels = [x for x in table.layers if x.type in ("correlation", "kgen")]
    assert [x.type for x in kernels] == ["kgen", *["correlation", "kgen"] * 3]
    assert [x.output_dtypes for x in kernels[1::2]] == [("float32",)] * 3
    assert all(x.is_integer for x in kernels[1::2])


def test_a_matmul_of_one_weight_scale_without_bias_writes_int8(tmp_path: Path) -> None:
    """The compiler can do it, then, but not for any layer of a convolutional network."""
    builder = Builder()
    tensor = builder.op("Flatten", "input")
    width = CHANNELS * 8 * 8
    for _ in range(2):
        weight = weights(builder, width, width, one_scale=True)
        tensor = builder.op("MatMul", builder.pair(tensor, 0.05), weight)
    table, _ = compiled(builder, builder.pair(tensor, 0.05), tmp_path)
    matmuls = [x for x in table.layers if x.is_matmul]
    assert [x.output_dtypes for x in matmuls] == [("int8",)] * 2


def test_equal_kernels_share_a_source_only_where_their_scales_are_equal_too(
    tmp_path: Path,
) -> None:
    counts = []
    for scales in ((0.05, 0.05, 0.05, 0.05), (0.05, 0.04, 0.03, 0.02)):
        builder = Builder()
        _, plan = compiled(builder, convolutions(builder, scales), tmp_path)
        counts.append(plan.count(DEFINITIONS_END))
    assert counts == [3, 5]
