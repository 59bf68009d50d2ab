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


class CalibrateResult(Strict):
    table: ArtifactRef = Field(description="JSON: a CalibrationTable")
    images_per_second: PositiveFloat
    mode: QuantizedMode = Field(description="the interface that the later stages go on with")
    mode_reason: str = Field(description="why, in words")
