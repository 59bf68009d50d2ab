"""From references to findings."""

from typing import TypeVar

from pydantic import BaseModel

from schemas.artifact import ArtifactRef
from schemas.calibrate import CalibrationQuality
from schemas.correct import CorrectionSummary
from schemas.equalize import EqualizationSummary
from schemas.findings import Findings, FindingsSources
from schemas.finetune import FinetuneSummary
from schemas.sensitivity import LayerErrors, SearchReport
from tasks.artifacts.store import Store

M = TypeVar("M", bound=BaseModel)


def load_findings(store: Store, sources: FindingsSources) -> Findings:
    """What the stages stored about accuracy."""

    def load(ref: ArtifactRef | None, schema: type[M]) -> M | None:
        return None if ref is None else store.load(ref, schema)

    return Findings(
        calibration=store.load(sources.calibration, CalibrationQuality),
        layers=tuple(store.load(ref, LayerErrors) for ref in sources.layers),
        equalization=load(sources.equalization, EqualizationSummary),
        correction=load(sources.correction, CorrectionSummary),
        search=load(sources.search, SearchReport),
        finetuning=load(sources.finetuning, FinetuneSummary),
        calibration_speed=sources.calibration_speed,
    )
