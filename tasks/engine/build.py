"""From a repaired graph to a plan with its manifest."""

from pathlib import Path

from schemas.base import Strict, Target
from schemas.engine import LayerTable, Manifest, Precision
from schemas.errors import InputError
from tasks.artifacts.store import sha256_of_file
from tasks.runtimes.registry import runtime


def build_engine(
    graph: Path, target: Target, precision: Precision, options: Strict, plan: Path
) -> tuple[Manifest, LayerTable]:
    """Compile ``graph`` for ``target`` and write ``plan``.

    ``options`` is the target's own config, such as TensorRtRtxConfig. Raises InputError where the
    engine is not installed, or refuses the graph; then no plan is left behind.
    """
    if not graph.is_file():
        raise InputError(f"no ONNX file {graph}: check the path")
    engine = runtime(target)
    fingerprint = engine.fingerprint()
    try:
        built = engine.build(graph, plan, options)
    except BaseException:
        plan.unlink(missing_ok=True)
        raise
    manifest = Manifest(
        engine=target,
        precision=precision,
        graph_sha256=sha256_of_file(graph),
        plan_sha256=sha256_of_file(plan),
        plan_bytes=plan.stat().st_size,
        fingerprint=fingerprint,
        options=options.model_dump(mode="json"),
        inputs=built.inputs,
        outputs=built.outputs,
        build_s=round(built.build_s, 3),
        peak_memory_bytes=built.peak_memory_bytes,
    )
    return manifest, built.layers
