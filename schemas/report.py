"""The whole run on one page."""

from pydantic import Field

from schemas.artifact import ArtifactRef
from schemas.base import Gate, Strict, Target
from schemas.engine import EngineResult, LayerTable, Manifest
from schemas.evaluate import Accuracy
from schemas.job import Job
from schemas.profiling import LatencyReport, ProfileResult
from schemas.surgery import SurgeryReport, SurgeryResult


class BuiltEngine(Strict):
    """What a run made for one target, by reference."""

    target: Target
    surgery: SurgeryResult
    int8: EngineResult
    float32: EngineResult
    latency: ProfileResult | None
    not_run: str | None = Field(description="why its plans cannot run on this machine")


class EngineReport(Strict):
    """One delivered engine, and the FP32 plan of the same compiler beside it."""

    target: Target
    plan: ArtifactRef
    graph: ArtifactRef = Field(description="the repaired ONNX that it was compiled from")
    manifest: Manifest
    layers: LayerTable
    baseline: Manifest
    baseline_layers: LayerTable
    not_run: str | None


class RunReport(Strict):
    job: Job
    passed: bool
    gates: tuple[Gate, ...]
    accuracies: tuple[Accuracy, ...]
    surgeries: tuple[SurgeryReport, ...]
    engines: tuple[EngineReport, ...]
    latencies: tuple[LatencyReport, ...]
    versions: dict[str, str]


class ReportResult(Strict):
    passed: bool
    json_report: ArtifactRef = Field(description="JSON: a RunReport")
    markdown: ArtifactRef
