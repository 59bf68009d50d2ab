"""Moving weight ranges from one layer to the next, before anything is quantized."""

from pydantic import Field, PositiveFloat, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict


class EqualizationConfig(Strict):
    """Cross-layer equalization of the FP32 checkpoint; its answers stay what they were."""

    rounds: PositiveInt = Field(
        default=10, description="most passes over all pairs of layers; a pair shares its layers"
    )
    largest_factor: PositiveFloat = Field(
        default=100.0, gt=1, description="a channel is scaled by at most this much, either way"
    )


class EqualizedPair(Strict):
    """Two layers with nothing but a scale-keeping activation between them."""

    first: str
    second: str
    factor_low: float = Field(description="smallest factor that a channel was divided by")
    factor_high: float


class EqualizationSummary(Strict):
    pairs: tuple[EqualizedPair, ...]
    rounds: int


class EqualizeResult(Strict):
    weights: ArtifactRef
    summary: ArtifactRef = Field(description="JSON: an EqualizationSummary")
