"""The whole run on one page."""

from pydantic import Field

from schemas.artifact import ArtifactRef
from schemas.base import Gate, Strict, Target
from schemas.engine import LayerTable, Manifest
from schemas.evaluate import Accuracy
from schemas.job import Job
from schemas.profiling import LatencyReport
from schemas.surgery import SurgeryReport


class EngineReport(Strict):
    """One delivered engine: its plan, and the plan of its FP32 baseline."""

    target: Target
    plan: ArtifactRef
    manifest: Manifest
    layers: LayerTable
    baseline: Manifest | None = Field(description="FP32 on the same runtime; None: not built")
    baseline_layers: LayerTable | None


class RunReport(Strict):
    job: Job
    passed: bool
    gates: tuple[Gate, ...]
    accuracies: tuple[Accuracy, ...]
    surgeries: tuple[SurgeryReport, ...]
    engines: tuple[EngineReport, ...]
    latency: LatencyReport | None
    versions: dict[str, str]


class ReportResult(Strict):
    passed: bool
    json_report: ArtifactRef
    markdown: ArtifactRef
