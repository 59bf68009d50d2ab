"""Where quantization's error enters a network."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict, Target
from schemas.evaluate import Accuracy


class LayerError(Strict):
    """One layer's output against the FP32 network's: signal over noise power, in dB.

    6 dB are one bit; None: the layer could not be told from its neighbours, or was not run.
    """

    name: str = Field(description="of its node in the exported FP32 graph")
    op: str
    int8_db: float | None = Field(description="PyTorch's INT8 network, from its exported graph")
    graph_db: float | None = Field(description="the repaired graph in ONNX Runtime")
    engine_db: float | None = Field(description="the engine itself; None: it does not run here")
    engine_to_int8_db: float | None = Field(
        description="the engine, or else the graph, against PyTorch's INT8 network"
    )


class LayerErrors(Strict):
    """Every layer in the order of execution, and where to look."""

    target: Target
    images: PositiveInt
    layers: tuple[LayerError, ...]
    enters_at: str | None = Field(description="the layer that loses most against the one before")
    diverges_at: str | None = Field(
        description="the first layer where the engine is not what PyTorch's INT8 network is"
    )
    findings: tuple[str, ...] = Field(description="the same in words")


class LayerErrorsResult(Strict):
    report: ArtifactRef = Field(description="JSON: a LayerErrors")


class MixedPrecisionConfig(Strict):
    """Leave the fewest layers in float so that accuracy.max_drop_points holds on the engine."""

    images: PositiveInt = Field(
        default=64, description="calibration images that sensitivity is measured on"
    )
    max_float_layers: NonNegativeInt | None = Field(
        default=None, description="at most so many; left out: as many as it takes"
    )


class LayerSensitivity(Strict):
    """What quantizing this layer alone, its weights and its input, does to the logits."""

    name: str = Field(description="of the module")
    kind: Literal["Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "Linear", "other"]
    parameters: int
    logits_db: float = Field(description="signal over noise power; low is sensitive")


class Sensitivity(Strict):
    """Most sensitive layer first."""

    images: PositiveInt
    layers: tuple[LayerSensitivity, ...]


class SensitivityResult(Strict):
    report: ArtifactRef = Field(description="JSON: a Sensitivity")


class Assignment(Strict):
    """Some layers in float, the rest in INT8, and what the engine is then worth."""

    float_layers: tuple[str, ...]
    accuracy: Accuracy
    within: bool = Field(description="accuracy.max_drop_points holds")
    median_ms: float | None = Field(description="one inference; None: the engine does not run here")
    on_front: bool = Field(description="no other is both more accurate and faster")


class SearchReport(Strict):
    """The assignments that were tried, fewest float layers first, and the one that was taken."""

    target: Target
    max_drop_points: float
    sensitivity: Sensitivity
    assignments: tuple[Assignment, ...]
    chosen: NonNegativeInt = Field(description="index into the assignments")
    reached: bool = Field(description="False: no assignment tried is within; the best is taken")


class SearchResult(Strict):
    report: ArtifactRef = Field(description="JSON: a SearchReport")
