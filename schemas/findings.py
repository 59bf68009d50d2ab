"""What a run found out about accuracy besides the figures."""

from pydantic import Field

from schemas.artifact import ArtifactRef
from schemas.base import Strict
from schemas.calibrate import CalibrationQuality, CalibrationSpeed
from schemas.correct import CorrectionSummary
from schemas.equalize import EqualizationSummary
from schemas.finetune import FinetuneSummary
from schemas.sensitivity import LayerErrors, SearchReport


class FindingsSources(Strict):
    """By reference, as stages stored them; None: the job does not ask for it."""

    calibration: ArtifactRef = Field(description="JSON: a CalibrationQuality")
    calibration_speed: CalibrationSpeed
    layers: tuple[ArtifactRef, ...] = Field(description="JSON: LayerErrors, one an engine")
    equalization: ArtifactRef | None = Field(description="JSON: an EqualizationSummary")
    correction: ArtifactRef | None = Field(description="JSON: a CorrectionSummary")
    search: ArtifactRef | None = Field(description="JSON: a SearchReport")
    finetuning: ArtifactRef | None = Field(description="JSON: a FinetuneSummary")


class Findings(Strict):
    calibration: CalibrationQuality
    layers: tuple[LayerErrors, ...]
    equalization: EqualizationSummary | None
    correction: CorrectionSummary | None
    search: SearchReport | None
    finetuning: FinetuneSummary | None
    calibration_speed: CalibrationSpeed | None = Field(
        default=None, description="None: of an earlier version"
    )
