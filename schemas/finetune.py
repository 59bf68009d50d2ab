"""Training on with INT8's rounding simulated: quantization-aware training (QAT)."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict
from schemas.train import Epoch


class FinetuneConfig(Strict):
    """A short training from the FP32 checkpoint, with the train stage's own loop.

    Activations keep the ranges that calibration chose; weights follow their own.
    """

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = Field(
        default=0.002, description="the one-cycle peak: about a hundredth of the training's"
    )
    momentum: NonNegativeFloat = Field(default=0.9, lt=1)
    weight_decay: NonNegativeFloat = 0.0
    label_smoothing: NonNegativeFloat = Field(default=0.1, lt=1)
    distillation: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of the loss that is the distance to the FP32 network's answers; the "
        "rest is the labels'",
    )
    crop_padding_px: NonNegativeInt = 4
    horizontal_flip: bool = True
    seed: NonNegativeInt = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    freeze_norm_after: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the epochs after which BatchNorm keeps its statistics; 0: from the "
        "start, as answers near to the FP32 network's need its statistics",
    )


class FinetuneSummary(Strict):
    """How it went; the weights kept are those of the best epoch, or those it started from."""

    top1_before: float = Field(description="rounding simulated, before the first step")
    epochs: tuple[Epoch, ...]
    best_epoch: NonNegativeInt = Field(description="0: no epoch was better than the start")
    top1: float = Field(description="of the weights kept, rounding simulated")
    loss_before: float = Field(description="on the images held out, before the first step")
    loss: float = Field(description="the same of the weights kept, which have the lowest")
    stopped: str | None = Field(default=None, description="why it ended early; None: it did not")


class FinetuneResult(Strict):
    weights: ArtifactRef = Field(description="a checkpoint of the FP32 network's own structure")
    summary: ArtifactRef = Field(description="JSON: a FinetuneSummary")
