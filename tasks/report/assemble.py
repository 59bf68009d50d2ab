"""Everything a run found out, in one document."""

import importlib.metadata

from schemas.base import Gate
from schemas.data import DataRef
from schemas.engine import EngineResult, LayerTable, Manifest
from schemas.evaluate import EvaluationReport
from schemas.job import Job
from schemas.profiling import LatencyReport
from schemas.publish import Package
from schemas.report import BuiltEngine, EngineReport, FurtherReport, RunReport
from schemas.surgery import SurgeryReport
from tasks.artifacts.store import Store

PACKAGES = ("torch", "torchvision", "onnx", "onnxruntime", "openvino", "tensorrt-rtx-cu13")


def assemble(
    store: Store,
    job: Job,
    evaluation: EvaluationReport,
    built: list[BuiltEngine],
    data: DataRef,
    package: Package | None = None,
    regressions: tuple[Gate, ...] = (),
) -> RunReport:
    """The report of a run, from what its stages stored."""
    surgeries = tuple(store.load(b.surgery.report, SurgeryReport) for b in built)
    latencies = tuple(
        store.load(b.latency.report, LatencyReport) for b in built if b.latency is not None
    )
    engines = tuple(
        EngineReport(
            target=b.target,
            plan=b.int8.plan,
            graph=b.surgery.graph,
            manifest=store.load(b.int8.manifest, Manifest),
            layers=store.load(b.int8.layers, LayerTable),
            baseline=store.load(b.float32.manifest, Manifest),
            baseline_layers=store.load(b.float32.layers, LayerTable),
            further=tuple(_further(store, x.plan) for x in b.further),
            not_run=b.not_run,
        )
        for b in built
    )
    gates: tuple[Gate, ...] = evaluation.gates
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
        versions=_versions(),
        data=data,
        package=package,
    )


def _further(store: Store, plan: EngineResult) -> FurtherReport:
    return FurtherReport(
        plan=plan.plan,
        manifest=store.load(plan.manifest, Manifest),
        layers=store.load(plan.layers, LayerTable),
    )


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
