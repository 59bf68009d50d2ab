"""Everything a run found out, in one document."""

from schemas.artifact import ArtifactRef
from schemas.base import Gate, Target
from schemas.convert import ConvertSummary
from schemas.data import DataRef
from schemas.engine import EngineResult, LayerTable, Manifest
from schemas.evaluate import Accuracy, EvaluationReport
from schemas.findings import FindingsSources
from schemas.job import Job
from schemas.profiling import LatencyReport
from schemas.publish import Package
from schemas.report import BuiltEngine, EngineReport, FurtherReport, RunReport
from schemas.surgery import SurgeryReport
from tasks.artifacts.store import Store
from tasks.report.choice import Delivery, choose_delivery, delivered_gates
from tasks.report.sources import load_findings
from tasks.versions import installed_versions

PACKAGES = ("torch", "torchvision", "onnx", "onnxruntime", "openvino", "tensorrt-rtx-cu13")


def assemble(
    store: Store,
    job: Job,
    evaluation: EvaluationReport,
    built: list[BuiltEngine],
    data: DataRef,
    package: Package | None = None,
    regressions: tuple[Gate, ...] = (),
    findings: FindingsSources | None = None,
    modules: ArtifactRef | None = None,
) -> RunReport:
    """The report of a run, from what its stages stored."""
    surgeries = tuple(store.load(b.surgery.report, SurgeryReport) for b in built)
    latencies = _latencies(store, built)
    deliveries = choose_deliveries(store, job, evaluation, built)
    engines = tuple(
        EngineReport(
            target=b.target,
            plan=b.int8.plan,
            graph=b.surgery.graph,
            manifest=store.load(b.int8.manifest, Manifest),
            layers=_timed(store, b),
            baseline=store.load(b.float32.manifest, Manifest),
            baseline_layers=store.load(b.float32.layers, LayerTable),
            baseline_plan=b.float32.plan,
            baseline_graph=b.float32_graph,
            delivered=deliveries[b.target].precision,
            delivered_why=deliveries[b.target].why,
            further=tuple(_further(store, x.plan) for x in b.further),
            not_run=b.not_run,
        )
        for b in built
    )
    gates = delivered_gates(
        evaluation.gates,
        deliveries,
        {b.target: _answers_of(evaluation, b).name for b in built},
        evaluation.accuracies[0],
        job,
    )
    for surgery in surgeries:
        gates += tuple(
            gate.model_copy(update={"name": f"{surgery.target}: {gate.name}"})
            for gate in surgery.gates
        )
    for target, plan in ((b.target, x) for b in built for x in b.further if x.surgery):
        assert plan.surgery is not None
        gates += tuple(
            gate.model_copy(update={"name": f"{target} {plan.precision}: {gate.name}"})
            for gate in store.load(plan.surgery.report, SurgeryReport).gates
        )
    for engine in engines:
        gates += engine.manifest.contract
        for further in engine.further:
            gates += tuple(
                gate.model_copy(update={"name": f"{further.manifest.precision} {gate.name}"})
                for gate in further.manifest.contract
            )
    gates += regressions
    return RunReport(
        job=job,
        passed=all(gate.passed for gate in gates),
        gates=gates,
        accuracies=evaluation.accuracies,
        surgeries=surgeries,
        engines=engines,
        latencies=latencies,
        versions=installed_versions(PACKAGES),
        data=data,
        findings=None if findings is None else load_findings(store, findings),
        quantized=None if modules is None else store.load(modules, ConvertSummary),
        package=package,
    )


def choose_deliveries(
    store: Store, job: Job, evaluation: EvaluationReport, built: list[BuiltEngine]
) -> dict[Target, Delivery]:
    """Which plan of each engine is delivered."""
    speedups = [x for part in _latencies(store, built) for x in part.speedups]
    return {
        b.target: choose_delivery(
            job, _answers_of(evaluation, b), [x for x in speedups if x.engine == b.target]
        )
        for b in built
    }


def _latencies(store: Store, built: list[BuiltEngine]) -> tuple[LatencyReport, ...]:
    return tuple(
        store.load(b.latency.report, LatencyReport) for b in built if b.latency is not None
    )


def _timed(store: Store, built: BuiltEngine) -> LayerTable:
    """The layers of the INT8 plan, with the times that the run measured, if it did."""
    table = store.load(built.int8.layers, LayerTable)
    if built.latency is None:
        return table
    times = store.load(built.latency.report, LatencyReport).layer_times_ms
    layers = (x.model_copy(update={"time_ms": times.get(x.name, x.time_ms)}) for x in table.layers)
    return table.model_copy(update={"layers": tuple(layers)})


def _answers_of(evaluation: EvaluationReport, built: BuiltEngine) -> Accuracy:
    """The accuracy of the engine itself, of its graph where it does not run here."""
    name = f"{built.target} int8" if built.not_run is None else f"onnx for {built.target}"
    return next(a for a in evaluation.accuracies if a.name == name)


def _further(store: Store, plan: EngineResult) -> FurtherReport:
    return FurtherReport(
        plan=plan.plan,
        manifest=store.load(plan.manifest, Manifest),
        layers=store.load(plan.layers, LayerTable),
    )
