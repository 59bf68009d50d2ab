"""The stage as Prefect runs it."""

from typing import Any

from schemas.base import Target
from schemas.data import DataRef
from schemas.engine import EngineResult
from schemas.profiling import ProfileConfig, ProfileResult, ProfileSources
from tasks.caching import stage
from tasks.runtimes.registry import runtime


def _runtime_fingerprint(parameters: dict[str, Any]) -> dict[str, str]:
    return runtime(parameters["target"]).fingerprint()


@stage(
    "profiling",
    rooms=("artifacts", "models", "datasets", "runtimes"),
    fingerprint=_runtime_fingerprint,
    versions=("torch", "onnxruntime"),
)
def profile(
    target: Target,
    int8: EngineResult,
    float32: EngineResult,
    sources: ProfileSources,
    data: DataRef,
    config: ProfileConfig,
    further: tuple[EngineResult, ...] = (),
) -> ProfileResult:
    """Time an engine against its FP32 and further plans, and what the user would run otherwise."""
    from tasks.artifacts.store import current_store
    from tasks.profiling.job import profile_job

    store = current_store()
    report = profile_job(store, target, int8, float32, sources, data.config, config, further)
    return ProfileResult(report=store.put_model("latency", report))
