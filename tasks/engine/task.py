"""The stage as Prefect runs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from schemas.artifact import ArtifactRef
from schemas.base import Strict, Target
from schemas.engine import EngineResult, Precision
from tasks.caching import stage
from tasks.progress import reported_to
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
    with store.workspace() as folder, _shown(target, precision):
        plan = folder / "engine.plan"
        manifest, layers = build_engine(store.open(graph), target, precision, options, plan)
        return EngineResult(
            plan=store.put_file("plan", plan),
            manifest=store.put_model("manifest", manifest),
            layers=store.put_model("layers", layers),
        )


def why_not_run(target: Target) -> str | None:
    """Why this machine cannot run a target's plans; None where it can. Asked anew in each run."""
    return runtime(target).cannot_run()


@contextmanager
def _shown(target: Target, precision: Precision) -> Iterator[None]:
    """Show in Prefect how far a builder is that tells: one artifact a build."""
    key = f"build-{target}-{precision}".replace("_", "-").replace("+", "-")
    artifact: UUID | None = None

    def show(label: str, percent: float) -> None:
        nonlocal artifact
        if artifact is None:
            created = create_progress_artifact(percent, key=key, description=label)
            assert isinstance(created, UUID)
            artifact = created
        else:
            update_progress_artifact(artifact, progress=round(percent, 1), description=label)

    with reported_to(show):
        yield
