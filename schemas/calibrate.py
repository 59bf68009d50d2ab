"""Choosing the activation scales from images."""

from typing import Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict
from schemas.convert import QuantizedMode

Split = Literal["train", "test"]


class CalibrationConfig(Strict):
    """Which images the observers see."""

    split: Split = Field(
        default="train", description="never the split that accuracy is measured on"
    )
    images: PositiveInt = Field(default=512, description="drawn at random without replacement")
    until: Literal["images", "converged"] = Field(
        default="images",
        description="images: that many and no more; converged: at least that many, then twice as "
        "many again until the scales no longer change",
    )
    tolerance: PositiveFloat = Field(
        default=0.1,
        description="a scale has settled if it changed by at most this share when the number of "
        "images doubled; the scales have converged once nine in ten have settled",
    )
    max_images: PositiveInt = Field(default=4096, description="the most, with until: converged")
    batch_size: PositiveInt = 64
    seed: NonNegativeInt = 0


class TensorRange(Strict):
    """What an observer saw of one activation tensor, and the grid chosen for it."""

    minimum: FiniteFloat
    maximum: FiniteFloat
    scale: PositiveFloat
    zero_point: int = Field(description="on the uint8 grid; 128 stands for symmetric")


class CalibrationTable(Strict):
    """The chosen scale of every activation, by the name of its observer's module.

    JSON keeps float32 exactly, so a table gives the same INT8 model wherever it is read.
    """

    images: PositiveInt
    images_sha256: str = Field(description="digest over the calibration images' own digests")
    tensors: dict[str, TensorRange]


class ScaleCheck(Strict):
    """How far the scales moved since half as many images were seen."""

    images: PositiveInt
    largest_change: float = Field(description="relative, of the scale that moved most")
    tensor: str = Field(description="whose scale that is")
    median_change: float
    settled: float = Field(description="share of the scales that moved within the tolerance")


class TensorQuality(Strict):
    """How well one activation's grid fits what it saw."""

    name: str
    scale: float
    saturated: float = Field(description="share of the values beyond the ends of the grid")
    unused: float = Field(description="share of the grid beyond the largest magnitude seen")
    constant: bool


class AccuracyCheck(Strict):
    """What the last doubling of the number of images did to answers to the first of them.

    Activations are rounded to either grids; weights stay in float, as no image changes theirs.
    """

    answered: PositiveInt = Field(description="images that were answered both ways")
    fewer_images: PositiveInt = Field(description="what the grids before followed from")
    top1_before: float
    top1: float
    to_wrong: NonNegativeInt = Field(description="answers that were right before")
    to_right: NonNegativeInt


class CalibrationQuality(Strict):
    """What there is to say about a calibration besides its scales."""

    images: PositiveInt
    images_by_class: dict[str, int] = Field(description="every class, those without images too")
    left_out: int = Field(description="images passed over because accuracy is measured on them")
    checks: tuple[ScaleCheck, ...]
    converged: bool | None = Field(description="None: too few images to tell")
    accuracy: AccuracyCheck | None = Field(default=None, description="None: too few images to tell")
    checked_images: int = Field(description="images that saturation was counted on")
    tensors: tuple[TensorQuality, ...]
    warnings: tuple[str, ...]


class CalibrationSpeed(Strict):
    """How fast images went past the observers, reading them and choosing the scales included."""

    images_per_second: PositiveFloat
    device: str = Field(description="what the network computed on: cpu or cuda")


class CalibrateResult(Strict):
    table: ArtifactRef = Field(description="JSON: a CalibrationTable")
    quality: ArtifactRef = Field(description="JSON: a CalibrationQuality")
    speed: CalibrationSpeed
    mode: QuantizedMode = Field(description="the interface that the later stages go on with")
    mode_reason: str = Field(description="why, in words")
