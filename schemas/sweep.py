"""Calibrations of one network side by side."""

from pydantic import Field, NonNegativeInt, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict
from schemas.convert import Observer
from schemas.evaluate import Accuracy, Logits


class SweepCandidate(Strict):
    """One way to calibrate, and what the engine made from it answers."""

    observer: Observer
    images: PositiveInt = Field(description="asked for")
    seed: NonNegativeInt
    answers: Logits


class SweepRun(Strict):
    """One way to calibrate, and its engine's accuracy."""

    observer: Observer
    images: PositiveInt
    seed: NonNegativeInt
    accuracy: Accuracy


class SweepGroup(Strict):
    """The same observer and number of images over every seed."""

    observer: Observer
    images: PositiveInt
    seeds: tuple[NonNegativeInt, ...]
    top1: float = Field(description="mean over the seeds")
    drop_points: float = Field(description="mean over the seeds, in percentage points")
    drop_low: float = Field(
        description="lower end of the mean's 95 % interval, over the test images"
    )
    drop_high: float
    worst_drop_points: float = Field(description="of the seed that lost most")


class SweepReport(Strict):
    """Best first. Groups that differ by less than their intervals are not told apart."""

    engine: str = Field(description="what answered, such as 'openvino int8'")
    top1_float32: float
    images: PositiveInt = Field(description="test images")
    groups: tuple[SweepGroup, ...]
    runs: tuple[SweepRun, ...]


class SweepResult(Strict):
    report: ArtifactRef = Field(description="JSON: a SweepReport")
