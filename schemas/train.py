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
    momentum: NonNegativeFloat = Field(default=0.9, lt=1)
    weight_decay: NonNegativeFloat = Field(
        default=5e-4, description="of convolution and linear weights, not of biases and BatchNorm"
    )
    label_smoothing: NonNegativeFloat = Field(default=0.1, lt=1)
    crop_padding_px: NonNegativeInt = Field(
        default=4, description="zero padding before a random crop"
    )
    horizontal_flip: bool = True
    cutout_px: NonNegativeInt = Field(
        default=0, description="side of the square cut out of each image at a random place; 0: none"
    )
    seed: NonNegativeInt = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="what convolutions and linear layers compute in; auto: bfloat16 where the "
        "processor or GPU has it",
    )
    cuda_graphs: bool = Field(
        default=True,
        description="on a GPU, record a step's forward and backward pass once and replay them; "
        "a network that cannot be recorded trains without",
    )


class Epoch(Strict):
    """One pass over the training images."""

    epoch: PositiveInt
    loss: float = Field(description="mean over the training images, label smoothing included")
    top1: float = Field(ge=0, le=1, description="on the test images, FP32")
    learning_rate: float = Field(description="at the epoch's last step")
    images_per_second: float
    seconds: float = Field(description="training only, without the test images")


class TrainingHistory(Strict):
    """How a checkpoint came about."""

    device: str
    precision: str
    parameters: int
    train_images: int
    test_images: int
    epochs: tuple[Epoch, ...]


class TrainResult(Strict):
    """The checkpoint and how it came about."""

    weights: ArtifactRef
    history: ArtifactRef = Field(description="JSON: a TrainingHistory")
