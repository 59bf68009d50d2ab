"""What is timed against what."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.base import Target
from schemas.engine import EnginesConfig, Manifest
from schemas.errors import InputError
from tasks.runtimes.protocol import Session
from tasks.runtimes.registry import runtime


@dataclass(frozen=True)
class Contender:
    """Something to be timed; ``open`` takes a number of threads, 0 standing for all."""

    name: str
    precision: str
    open: Callable[[int], Session]
    is_baseline: bool = False


def plan_contender(
    name: str, precision: str, target: Target, plan: Path, manifest: Manifest | None = None
) -> Contender:
    """A plan that is known to fit this machine."""

    def open_session(threads: int) -> Session:
        return runtime(target).open(plan, threads=threads, manifest=manifest)

    return Contender(name, precision, open_session)


def why_not_as_named(name: str, target: Target, precision: str) -> str | None:
    """A sentence on a plan that computes in another precision here than its own; else None."""
    if target != "openvino" or precision != "float16":
        return None
    from tasks.runtimes.openvino import computes_float16

    if computes_float16():
        return None
    return (
        f"{name} computes in float32: this processor has no FP16 arithmetic that OpenVINO uses; "
        "its plan is half as large"
    )


def graph_contender(
    name: str, precision: str, target: Target, graph: Path, folder: Path
) -> Contender:
    """An ONNX file, compiled into ``folder`` with the engine's default options, once.

    Raises InputError where the engine cannot run here, is not installed or refuses the graph.
    """
    engine = runtime(target)
    why_not = engine.cannot_run()
    if why_not is not None:
        raise InputError(
            f"{target} cannot be timed here ({why_not}): choose openvino or onnxruntime, or a "
            "machine with its GPU"
        )
    plan = folder / f"{name.replace('/', '-').replace(' ', '-')}.plan"
    # What has no options of its own, as ONNX Runtime, is given any of the others'.
    key = target if target in EnginesConfig.model_fields else "openvino"
    options = getattr(EnginesConfig.model_validate({key: {}}), key)
    engine.build(graph, plan, options)
    return plan_contender(name, precision, target, plan)
