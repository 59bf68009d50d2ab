"""Accuracy of every form of the network, side by side."""

from pydantic import Field, NonNegativeFloat, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Gate, Strict


class AccuracyConfig(Strict):
    """The gates: what must hold, or the job fails."""

    max_drop_points: NonNegativeFloat = Field(
        default=0.5, description="top-1 that an engine may lose against FP32, in percentage points"
    )
    min_top1: float | None = Field(
        default=None, ge=0, le=1, description="top-1 that an engine must reach, as a fraction"
    )
    batch_size: PositiveInt = 100
    images: PositiveInt | None = Field(
        default=None,
        description="so many test images, drawn by a fixed seed; left out: the whole test set",
    )


class Logits(Strict):
    """One form's answers for the test images."""

    name: str
    file: ArtifactRef = Field(
        description="safetensors: logits float32[N, classes], labels int64[N], and indices "
        "int64[N], the images' places in the test split"
    )


class Accuracy(Strict):
    """One form of the network over the test images, against the FP32 network."""

    name: str = Field(description="such as 'torch float32' or 'openvino int8'")
    images: int
    top1: float
    top5: float | None = Field(description="None where there are five classes or fewer")
    flips: int = Field(description="images whose top-1 differs from the FP32 network's")
    flips_to_wrong: int = Field(description="of those, right in FP32 and wrong here")
    flips_to_right: int
    logit_rmse: float = Field(description="root mean square difference to the FP32 logits")
    drop_points: float = Field(description="top-1 lost against FP32, in percentage points")
    drop_low: float = Field(description="lower end of the drop's 95 % interval, in points")
    drop_high: float = Field(description="upper end")
    p_value: float = Field(
        description="how probable flips at least as one-sided are if nothing was lost (McNemar)"
    )


class EvaluationReport(Strict):
    accuracies: tuple[Accuracy, ...]
    gates: tuple[Gate, ...]


class EvaluateResult(Strict):
    report: ArtifactRef
