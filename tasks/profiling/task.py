"""The stage as Prefect runs it."""

from typing import Any

from schemas.base import Target
from schemas.data import DataRef
from schemas.engine import EngineResult
from schemas.profiling import ProfileConfig, ProfileResult
from tasks.caching import stage
from tasks.runtimes.registry import runtime


def _runtime_fingerprint(parameters: dict[str, Any]) -> dict[str, str]:
    return runtime(parameters["target"]).fingerprint()


@stage("profiling", rooms=("artifacts", "datasets", "runtimes"), fingerprint=_runtime_fingerprint)
def profile(
    target: Target, int8: EngineResult, float32: EngineResult, data: DataRef, config: ProfileConfig
) -> ProfileResult:
    """Time an engine against the FP32 engine of the same runtime."""
    import numpy as np

    from schemas.profiling import LatencyReport
    from tasks.artifacts.store import current_store
    from tasks.datasets.open import open_dataset
    from tasks.profiling.alternate import alternate, latency_of, speedup_of
    from tasks.profiling.machine import describe_machine

    store, engine = current_store(), runtime(target)
    plans = {"int8": store.open(int8.plan), "float32": store.open(float32.plan)}
    images = open_dataset(data.config, "test")
    batch = images.images(np.arange(config.batch_size, dtype=np.int64) % len(images))
    latencies, speedups = [], []
    for threads in config.threads:
        sessions = {name: engine.open(plan, threads=threads) for name, plan in plans.items()}
        label = f"profile {target}, {threads or 'all'} threads"
        times = alternate(sessions, batch, config, label)
        latencies += [
            latency_of(f"{target} {name}", name, threads, config.batch_size, times[name])
            for name in plans
        ]
        speedups.append(speedup_of(target, threads, times["int8"], times["float32"]))
    report = LatencyReport(
        machine=describe_machine(), latencies=tuple(latencies), speedups=tuple(speedups)
    )
    return ProfileResult(report=store.put_model("latency", report))
