"""From observers to integer kernels."""

from typing import Literal

from pydantic import Field

from schemas.artifact import ArtifactRef
from schemas.base import Strict

Observer = Literal["minmax", "moving_average", "histogram"]


class QuantizationConfig(Strict):
    """Post-training quantization; weights per channel, activations per tensor, both symmetric."""

    mode: Literal["eager"] = Field(
        default="eager", description="eager: the network has QuantStubs and fuse_model already"
    )
    observer: Observer = Field(
        default="histogram", description="how an activation's range follows from what it saw"
    )
    kernels: Literal["x86", "fbgemm", "onednn", "qnnpack"] = Field(
        default="x86",
        description="PyTorch's quantized kernels that the INT8 model is evaluated with",
    )


class QuantizedModule(Strict):
    """What became of one leaf module."""

    name: str
    kind: str = Field(description="the class that computes it now")
    quantized: bool
    scale: float | None = Field(default=None, description="of its output; None: it has no observer")


class ConvertSummary(Strict):
    modules: tuple[QuantizedModule, ...]


class ConvertResult(Strict):
    """The INT8 model's state: integer weights, scales and zero-points."""

    state: ArtifactRef
    summary: ArtifactRef = Field(description="JSON: a ConvertSummary")
