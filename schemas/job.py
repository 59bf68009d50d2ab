"""A job file: one network, one dataset, the engines wanted and what they must hold."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.base import Strict
from schemas.calibrate import CalibrationConfig
from schemas.convert import QuantizationConfig
from schemas.correct import CorrectionConfig
from schemas.data import DataConfig
from schemas.engine import EnginesConfig, OpenVinoConfig
from schemas.equalize import EqualizationConfig
from schemas.evaluate import AccuracyConfig
from schemas.export import ExportConfig
from schemas.finetune import FinetuneConfig
from schemas.history import RegressionConfig
from schemas.model import ModelConfig
from schemas.profiling import ProfileConfig
from schemas.publish import PublishConfig
from schemas.sensitivity import MixedPrecisionConfig
from schemas.surgery import SurgeryConfig
from schemas.train import TrainConfig


class Job(Strict):
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")] = Field(
        description="lower-case letters, digits and dashes"
    )
    model: ModelConfig
    data: DataConfig
    train: TrainConfig | None = Field(
        default=None, description="how to make the checkpoint where model.weights is left out"
    )
    calibration: CalibrationConfig = CalibrationConfig()
    quantization: QuantizationConfig = QuantizationConfig()
    finetune: FinetuneConfig | None = Field(
        default=None,
        description="train on from the FP32 checkpoint with INT8's rounding simulated (QAT); left "
        "out: quantize the checkpoint as it is",
    )
    equalization: EqualizationConfig | None = Field(
        default=None,
        description="even weight ranges out between layers before calibrating; left out: do not",
    )
    correction: CorrectionConfig | None = Field(
        default=None,
        description="correct biases for the rounding of the weights; left out: do not",
    )
    mixed_precision: MixedPrecisionConfig | None = Field(
        default=None,
        description="leave the fewest layers in float so that accuracy.max_drop_points holds on "
        "the engine; left out: all are INT8 that quantization allows",
    )
    deliver: Literal["int8", "fastest_within_accuracy"] = Field(
        default="int8",
        description="int8: its plan, whatever it is worth; fastest_within_accuracy: the FP32 plan "
        "where INT8 loses more than accuracy.max_drop_points or is not faster in the same run",
    )
    export: ExportConfig = ExportConfig()
    surgery: SurgeryConfig = SurgeryConfig()
    engines: EnginesConfig = EnginesConfig(openvino=OpenVinoConfig())
    accuracy: AccuracyConfig = AccuracyConfig()
    profile: ProfileConfig = ProfileConfig()
    regression: RegressionConfig | None = Field(
        default=RegressionConfig(),
        description="how far a build may fall behind the last good one; null: as far as it likes, "
        "and if its gates pass it is the measure of those to come",
    )
    publish: PublishConfig | None = Field(
        default=None, description="what a run that passed is published as; left out: nothing is"
    )
