"""The stage as Prefect runs it."""

from typing import Any

from prefect import task

from schemas.artifact import ArtifactRef
from schemas.base import Strict, Target
from schemas.engine import EngineResult, Precision
from tasks.caching import stage
from tasks.runtimes.registry import runtime


def _runtime_fingerprint(parameters: dict[str, Any]) -> dict[str, str]:
    return runtime(parameters["target"]).fingerprint()


@stage("engine", rooms=("artifacts", "runtimes"), fingerprint=_runtime_fingerprint)
def engine(
    graph: ArtifactRef, target: Target, precision: Precision, options: Strict
) -> EngineResult:
    """Compile an ONNX graph into a plan."""
    from tasks.artifacts.store import current_store
    from tasks.engine.build import build_engine

    store = current_store()
    with store.workspace() as folder:
        plan = folder / "engine.plan"
        manifest, layers = build_engine(store.open(graph), target, precision, options, plan)
        return EngineResult(
            plan=store.put_file("plan", plan),
            manifest=store.put_model("manifest", manifest),
            layers=store.put_model("layers", layers),
        )


@task(name="can run")
def why_not_run(target: Target) -> str | None:
    """Why this machine cannot run a target's plans; None where it can. Asked anew in each run."""
    return runtime(target).cannot_run()
