"""The lint's rules: 1xx is refused or silently run in float, 2xx costs speed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import onnx_graphsurgeon as gs

from schemas.base import Target
from tasks.surgery import rule_checks as checks
from tasks.surgery.passes.align_concat import unaligned_inputs
from tasks.surgery.passes.drop_unused import unused_pairs
from tasks.surgery.passes.float_epilogue import cutting_quantizer
from tasks.surgery.passes.residual_add import cut_adds
from tasks.surgery.passes.settle_pools import one_sided

TENSORRT: tuple[Target, ...] = ("tensorrt", "tensorrt_rtx")
COMPILERS: tuple[Target, ...] = (*TENSORRT, "openvino")
ALL: tuple[Target, ...] = (*COMPILERS, "onnxruntime")


@dataclass(frozen=True)
class Rule:
    """``find`` yields the node's name and what is wrong with it."""

    code: str
    severity: Literal["error", "warning"]
    kind: Literal["as written", "placement"]
    targets: tuple[Target, ...]
    says: str
    fix: str
    find: Callable[[gs.Graph], checks.Found]


RULES: tuple[Rule, ...] = (
    Rule(
        "QDQ101",
        "error",
        "as written",
        ALL,
        "a Cast stands between a quantizer and its readers",
        "drop it: the integers already have the type that DequantizeLinear reads",
        checks.casts,
    ),
    Rule(
        "QDQ102",
        "error",
        "as written",
        ALL,
        "scale or zero-point is computed while the network runs",
        "quantize with calibrated, constant scales",
        checks.computed,
    ),
    Rule(
        "QDQ103",
        "error",
        "as written",
        TENSORRT,
        "the zero-point is not 0",
        "calibrate symmetrically; uint8 with zero-point 128 is int8 with 0",
        checks.zero_points,
    ),
    Rule(
        "QDQ104",
        "error",
        "as written",
        TENSORRT,
        "the integers are uint8",
        "use int8 with zero-point 0",
        checks.unsigned,
    ),
    Rule(
        "QDQ105",
        "error",
        "as written",
        ALL,
        "a tensor with one scale has it as a vector, which means per channel",
        "make scale and zero-point scalars of shape ()",
        checks.vector_scales,
    ),
    Rule(
        "QDQ106",
        "error",
        "as written",
        TENSORRT,
        "an activation has a scale per channel",
        "quantize activations per tensor",
        checks.per_channel_activations,
    ),
    Rule(
        "QDQ107",
        "error",
        "as written",
        COMPILERS,
        "a bias is stored as integers behind a DequantizeLinear",
        "store it as a float32 initializer",
        checks.integer_biases,
    ),
    Rule(
        "QDQ108",
        "error",
        "as written",
        ALL,
        "an initializer is float64",
        "store it as float32",
        checks.doubles,
    ),
    Rule(
        "QDQ109",
        "error",
        "as written",
        COMPILERS,
        "the integers are neither int8 nor uint8, or scaled in blocks",
        "quantize to int8",
        checks.other_types,
    ),
    Rule(
        "QDQ110",
        "error",
        "as written",
        ALL,
        "an unsigned quantizer cuts off negative values",
        "use int8 with zero-point 0",
        checks.clipping_unsigned,
    ),
    Rule(
        "QDQ111",
        "error",
        "as written",
        ALL,
        "the grid maps integers to nothing",
        "calibrate again, and export with one zero-point for each scale",
        checks.broken_grids,
    ),
    Rule(
        "QDQ112",
        "error",
        "as written",
        TENSORRT,
        "a single number of shape () is stored as an integer behind a DequantizeLinear",
        "store it as a float32 initializer",
        checks.integer_numbers,
    ),
    Rule(
        "QDQ201",
        "warning",
        "placement",
        TENSORRT,
        "both edges of a residual Add are quantized",
        "leave the convolution's edge float, so that Conv, Add and ReLU are one kernel",
        lambda g: ((n.name, "") for n in cut_adds(g)),
    ),
    Rule(
        "QDQ202",
        "warning",
        "placement",
        COMPILERS,
        "a quantizer undoes the one ahead of it",
        "drop both",
        checks.redundant,
    ),
    Rule(
        "QDQ203",
        "warning",
        "placement",
        COMPILERS,
        "no integer kernel reads what this pair rounds",
        "drop the pair",
        lambda g: ((n.name, "") for n in unused_pairs(g)),
    ),
    Rule(
        "QDQ204",
        "warning",
        "placement",
        COMPILERS,
        "the inputs of a Concat are on other scales than its output",
        "quantize them on the output's scale",
        lambda g: ((n.name, t) for n, t in unaligned_inputs(g)),
    ),
    Rule(
        "QDQ205",
        "warning",
        "as written",
        COMPILERS,
        "a tensor is quantized twice on one grid",
        "share one quantizer",
        checks.duplicates,
    ),
    Rule(
        "QDQ206",
        "warning",
        "placement",
        COMPILERS,
        "a quantizer stands between an operator and the function its kernel would compute",
        "quantize behind the function",
        lambda g: ((n.name, "") for n in g.nodes if cutting_quantizer(g, n) is not None),
    ),
    Rule(
        "QDQ207",
        "warning",
        "as written",
        TENSORRT,
        "weights use -128, outside TensorRT's symmetric range",
        "quantize weights to -127..127",
        checks.wide_weights,
    ),
    Rule(
        "QDQ208",
        "warning",
        "placement",
        COMPILERS,
        "only one factor of a product is quantized, so that it computes in float",
        "quantize both, or neither",
        checks.half_quantized,
    ),
    Rule(
        "QDQ209",
        "warning",
        "placement",
        TENSORRT,
        "a pool, mean or Resize has integers on one side only, so that it computes in float",
        "put DequantizeLinear in front and QuantizeLinear behind, or neither",
        lambda g: ((name, "") for name in one_sided(g)),
    ),
)
