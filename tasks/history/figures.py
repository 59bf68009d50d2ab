"""What a finished build is measured by, read from what its stages stored."""

import platform
from collections.abc import Sequence

from schemas.artifact import ArtifactRef
from schemas.engine import EngineResult, LayerTable, Manifest
from schemas.evaluate import Accuracy, EvaluationReport
from schemas.history import EngineFigures
from schemas.profiling import LatencyReport
from schemas.report import BuiltEngine
from tasks.artifacts.store import Store
from tasks.versions import installed_versions

PACKAGES = (
    *("torch", "torchvision", "torchao", "numpy", "onnx", "onnxruntime", "onnx-graphsurgeon"),
    *("openvino", "tensorrt-rtx-cu13", "tensorrt", "prefect", "pydantic"),
)


def figures_of(
    store: Store,
    evaluation: EvaluationReport,
    built: list[BuiltEngine],
    delivered: Sequence[tuple[EngineResult, ArtifactRef]],
) -> tuple[EngineFigures, ...]:
    """Accuracy, speed, size and kernels of what is ``delivered`` of each engine."""
    return tuple(
        _figures(store, evaluation, engine, plan)
        for engine, (plan, _) in zip(built, delivered, strict=True)
    )


def _figures(
    store: Store, evaluation: EvaluationReport, engine: BuiltEngine, plan: EngineResult
) -> EngineFigures:
    manifest = store.load(plan.manifest, Manifest)
    kernels = store.load(plan.layers, LayerTable).kernels
    if manifest.precision == "float32":
        float32 = evaluation.accuracies[0]
        return EngineFigures(
            engine=engine.target,
            delivered="float32",
            plan_sha256=plan.plan.sha256,
            top1=float32.top1,
            drop_points=0.0,
            images=float32.images,
            speedups=(),
            machine=None,
            plan_bytes=manifest.plan_bytes,
            kernels=kernels,
        )
    accuracy = _accuracy_of(evaluation.accuracies, engine)
    latency = None if engine.latency is None else store.load(engine.latency.report, LatencyReport)
    return EngineFigures(
        engine=engine.target,
        plan_sha256=plan.plan.sha256,
        top1=None if accuracy is None else accuracy.top1,
        drop_points=None if accuracy is None else accuracy.drop_points,
        images=None if accuracy is None else accuracy.images,
        speedups=() if latency is None else latency.speedups,
        batch_size=None if latency is None else latency.latencies[0].batch_size,
        machine=None if latency is None else latency.machine,
        plan_bytes=manifest.plan_bytes,
        kernels=kernels,
    )


def _accuracy_of(accuracies: tuple[Accuracy, ...], engine: BuiltEngine) -> Accuracy | None:
    """The engine's own answers; where it does not run here, those of the graph it is made from."""
    for prefix in (f"{engine.target} ", f"onnx for {engine.target}"):
        for accuracy in accuracies:
            if accuracy.name.startswith(prefix):
                return accuracy
    return None


def dependencies() -> dict[str, str]:
    """The packages that a build may depend on, and Python."""
    return {"python": platform.python_version(), **installed_versions(PACKAGES)}


def machine_of(store: Store, built: list[BuiltEngine]) -> dict[str, str]:
    """Where the build ran: its host, and what the engines say of processor, GPU and driver."""
    found = {"host": platform.node(), "system": platform.platform()}
    for engine in built:
        found |= store.load(engine.int8.manifest, Manifest).fingerprint
    return found
