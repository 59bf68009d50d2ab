"""Taking back what rounding the weights adds to a layer's mean."""

from pydantic import Field, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict


class CorrectionConfig(Strict):
    """Bias correction from calibration images."""

    images: PositiveInt = Field(default=256, description="the first of the calibration images")


class CorrectedLayer(Strict):
    name: str
    channels: int
    largest_shift: float = Field(description="of a channel's mean, in the layer's own units")
    mean_shift: float = Field(description="mean magnitude over the channels")


class CorrectionSummary(Strict):
    images: PositiveInt
    layers: tuple[CorrectedLayer, ...]
    left_alone: tuple[str, ...] = Field(description="layers without a bias to correct")


class CorrectResult(Strict):
    weights: ArtifactRef = Field(description="a checkpoint to quantize; not for use in FP32")
    summary: ArtifactRef = Field(description="JSON: a CorrectionSummary")
