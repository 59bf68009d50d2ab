"""Making a checkpoint where none is given."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict


class TrainConfig(Strict):
    """SGD with Nesterov momentum, label smoothing and a one-cycle learning rate."""

    epochs: PositiveInt = 15
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = Field(default=0.1, description="the one-cycle schedule's peak")
    momentum: NonNegativeFloat = 0.9
    weight_decay: NonNegativeFloat = 5e-4
    label_smoothing: NonNegativeFloat = 0.1
    crop_padding_px: NonNegativeInt = Field(
        default=4, description="zero padding before a random crop"
    )
    horizontal_flip: bool = True
    seed: NonNegativeInt = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"


class TrainResult(Strict):
    """The checkpoint and how it came about."""

    weights: ArtifactRef
    history: ArtifactRef = Field(description="JSON: loss, top-1 and seconds of each epoch")
