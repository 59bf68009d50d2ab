"""The whole run on one page."""

from typing import Literal, NamedTuple

from pydantic import Field

from schemas.artifact import ArtifactRef
from schemas.base import Gate, Strict, Target
from schemas.convert import ConvertSummary
from schemas.data import DataRef
from schemas.engine import EngineResult, FurtherPrecision, LayerTable, Manifest
from schemas.evaluate import Accuracy, Logits
from schemas.findings import Findings, FindingsSources
from schemas.job import Job
from schemas.profiling import LatencyReport, ProfileResult
from schemas.publish import Package, Publication
from schemas.surgery import SurgeryReport, SurgeryResult


class FurtherPlan(Strict):
    """A plan beside the INT8 one and its FP32 baseline, by reference."""

    precision: FurtherPrecision
    plan: EngineResult
    surgery: SurgeryResult | None = Field(
        default=None, description="of its INT8 graph; None: it has none"
    )


class BuiltEngine(Strict):
    """What a run made for one target, by reference."""

    target: Target
    surgery: SurgeryResult
    int8: EngineResult
    float32: EngineResult
    float32_graph: ArtifactRef | None = Field(
        default=None, description="the ONNX that the FP32 plan was compiled from"
    )
    further: tuple[FurtherPlan, ...] = ()
    latency: ProfileResult | None
    not_run: str | None = Field(description="why its plans cannot run on this machine")


class FurtherReport(Strict):
    """A further plan of one engine; its precision is in its manifest."""

    plan: ArtifactRef
    manifest: Manifest
    layers: LayerTable

    @property
    def file_name(self) -> str:
        """Under which it is delivered."""
        return f"{self.manifest.engine}.{self.manifest.precision.replace('+', '-')}.plan"


class NamedPlan(NamedTuple):
    """A plan with what lies beside it in the run folder, all of one name."""

    name: str
    plan: ArtifactRef | None
    graph: ArtifactRef | None
    """The ONNX that it was compiled from. Either is None in a report of an older version only."""
    manifest: Manifest
    layers: LayerTable


class EngineReport(Strict):
    """One engine: its INT8 plan, and the FP32 plan of the same compiler beside it."""

    target: Target
    plan: ArtifactRef = Field(description="the INT8 plan, as are its manifest and layers")
    graph: ArtifactRef = Field(description="the repaired ONNX that the INT8 plan was compiled from")
    manifest: Manifest
    layers: LayerTable
    baseline: Manifest
    baseline_layers: LayerTable
    baseline_plan: ArtifactRef | None = None
    baseline_graph: ArtifactRef | None = Field(
        default=None, description="the ONNX that the FP32 plan was compiled from"
    )
    delivered: Literal["int8", "float32"] = Field(
        default="int8", description="which of the two plans has the engine's name in the run folder"
    )
    delivered_why: str = Field(default="", description="empty: the job leaves no choice")
    further: tuple[FurtherReport, ...] = ()
    not_run: str | None

    @property
    def plans(self) -> tuple[NamedPlan, ...]:
        """The delivered plan, which has the engine's name; the INT8 plan is the last."""
        int8 = NamedPlan(self.target, self.plan, self.graph, self.manifest, self.layers)
        if self.delivered == "int8":
            return (int8,)
        float32 = NamedPlan(
            self.target,
            self.baseline_plan,
            self.baseline_graph,
            self.baseline,
            self.baseline_layers,
        )
        return float32, int8._replace(name=f"{self.target}.int8")


class RunReport(Strict):
    job: Job
    passed: bool
    gates: tuple[Gate, ...]
    accuracies: tuple[Accuracy, ...]
    surgeries: tuple[SurgeryReport, ...]
    engines: tuple[EngineReport, ...]
    latencies: tuple[LatencyReport, ...]
    versions: dict[str, str]
    data: DataRef | None = Field(default=None, description="what it was measured on")
    quantized: ConvertSummary | None = Field(
        default=None, description="what became of each module of the network, and why"
    )
    findings: Findings | None = Field(default=None, description="where accuracy went")
    package: Package | None = Field(
        default=None, description="what is published where every gate passed; None: nothing"
    )


class ReportSources(Strict):
    """What the page draws and shows besides the figures."""

    exported: ArtifactRef = Field(description="the ONNX before surgery")
    calibration: ArtifactRef = Field(description="JSON: a CalibrationTable")
    float32: Logits
    engine: Logits = Field(description="the first engine's answers, or its graph's")
    findings: FindingsSources | None = None
    modules: ArtifactRef | None = Field(default=None, description="JSON: a ConvertSummary")


class ReportResult(Strict):
    passed: bool
    json_report: ArtifactRef = Field(description="JSON: a RunReport")
    markdown: ArtifactRef
    page: ArtifactRef = Field(description="HTML, nothing of it elsewhere")
    publication: Publication | None = Field(
        default=None, description="how publishing ended; None: the job does not ask for it"
    )
