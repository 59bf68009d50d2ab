"""From observers to integer kernels."""

from typing import Literal

from pydantic import Field

from schemas.artifact import ArtifactRef
from schemas.base import Strict

Observer = Literal["minmax", "moving_average", "histogram", "percentile", "mse", "entropy"]
"""How an activation's range follows from what was seen; docs/accuracy.md says when to use which."""

QuantizedMode = Literal["eager", "fx", "pt2e"]
"""The interfaces of PyTorch that a network can be quantized through."""

LayerPolicy = Literal["int8", "float"]


class QuantizationConfig(Strict):
    """Post-training quantization; weights per channel, activations per tensor, both symmetric."""

    mode: Literal["auto", QuantizedMode] = Field(
        default="auto",
        description="eager: stubs and integer modules, placed automatically in a network that has "
        "none; fx: PyTorch's FX graph mode; pt2e: PyTorch 2 Export; auto: eager where it can "
        "prepare and export the network, else pt2e",
    )
    observer: Observer = Field(
        default="histogram", description="how an activation's range follows from what it saw"
    )
    observers: dict[str, Observer] = Field(
        default={},
        description="another observer for the outputs of some modules, by module-name pattern; "
        "the first that fits counts",
    )
    percentile: float = Field(
        default=99.99, gt=50, le=100, description="of the magnitudes, for observer percentile"
    )
    weight_observer: Literal["minmax", "mse"] = Field(
        default="minmax",
        description="range of each output channel's weights: the whole one, or the one that loses "
        "the least mean square",
    )
    include: tuple[str, ...] = Field(
        default=(),
        description="module-name patterns (* stands for anything): quantize only these and what "
        "is inside them; left out: everything",
    )
    exclude: tuple[str, ...] = Field(
        default=(),
        description="module-name patterns: leave these and what is inside them in float; counts "
        "before include",
    )
    include_types: tuple[str, ...] = Field(
        default=(),
        description="class names of modules, such as Conv2d: of those with weights quantize only "
        "these; left out: all",
    )
    exclude_types: tuple[str, ...] = Field(
        default=(), description="class names of modules to leave in float, such as Linear"
    )
    first_layer: LayerPolicy = Field(
        default="int8", description="the first convolution or linear layer"
    )
    last_layer: LayerPolicy = Field(
        default="int8", description="the last convolution or linear layer"
    )
    kernels: Literal["auto", "x86", "fbgemm", "onednn", "qnnpack"] = Field(
        default="auto",
        description="PyTorch's quantized kernels that the INT8 model is evaluated with; auto: the "
        "first of x86, onednn and qnnpack whose sums do not saturate on this processor",
    )


class QuantizedModule(Strict):
    """What became of one leaf module of the network, or of one operation between modules."""

    name: str
    kind: str = Field(description="its class in the network, or the operation, such as 'add'")
    became: str = Field(default="", description="what computes it in the INT8 network")
    quantized: bool
    scale: float | None = Field(default=None, description="of its output; None: it has no observer")
    why: str = Field(default="", description="why it is quantized or not, in words")


class ConvertSummary(Strict):
    """What became of a network, module by module, in the order of execution."""

    modules: tuple[QuantizedModule, ...]
    mode: QuantizedMode | None = Field(default=None, description="the interface that did it")
    reason: str = Field(default="", description="why that one")


class ConvertResult(Strict):
    """The INT8 model's state: integer weights, scales and zero-points."""

    state: ArtifactRef
    summary: ArtifactRef = Field(description="JSON: a ConvertSummary")
