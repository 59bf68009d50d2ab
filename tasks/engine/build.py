"""From a repaired graph to a plan with its manifest."""

import os
import tempfile
from pathlib import Path

from schemas.base import Gate, Strict, Target
from schemas.engine import FusionContract, LayerTable, Manifest, Precision
from schemas.errors import InputError
from tasks.artifacts.store import sha256_of_file
from tasks.engine.contract import check_contract
from tasks.engine.half import to_half
from tasks.runtimes.onnx_file import graph_digest, precision_of
from tasks.runtimes.onnx_names import OnnxNames
from tasks.runtimes.plans import check_plan, layers_path, read_manifest, sealed
from tasks.runtimes.registry import runtime


def build_engine(
    graph: Path,
    target: Target,
    precision: Precision,
    options: Strict,
    plan: Path,
    *,
    hold_in_float: bool = False,
) -> tuple[Manifest, LayerTable]:
    """Compile ``graph`` for ``target`` and write ``plan``.

    ``options`` is the target's own config, such as TensorRtRtxConfig; its fusion contract is held
    against plans with INT8, and others with ``hold_in_float``, and its results are in the
    manifest. A float32 graph is brought to float16 first where that is the precision asked for.
    Raises InputError where the engine is not installed, or refuses the graph; then no plan is left
    behind.
    """
    names = OnnxNames.of(graph)
    engine = runtime(target)
    fingerprint = engine.fingerprint()
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = graph
            if precision == "float16" and precision_of(graph) != "float16":
                source = to_half(graph, Path(folder) / graph.name)
            built = engine.build(source, plan, options)
    except BaseException:
        plan.unlink(missing_ok=True)
        raise
    layers = names.annotate(built.layers)
    contract: FusionContract | None = getattr(options, "contract", None)
    gates: tuple[Gate, ...] = ()
    if contract is not None and ("int8" in precision or hold_in_float):
        held = check_contract(layers, names, contract)
        gates = tuple(x.model_copy(update={"name": f"{target} {x.name}"}) for x in held)
    manifest = Manifest(
        engine=target,
        precision=precision,
        graph_sha256=graph_digest(graph),
        plan_sha256=sha256_of_file(plan),
        plan_bytes=plan.stat().st_size,
        fingerprint=fingerprint,
        options=options.model_dump(mode="json"),
        inputs=built.inputs,
        outputs=built.outputs,
        build_s=round(built.build_s, 3),
        peak_memory_bytes=built.peak_memory_bytes,
        unquantized_nodes=built.unquantized_nodes,
        contract=gates,
    )
    return sealed(manifest), layers


def already_built(
    graph: Path, target: Target, precision: Precision, options: Strict, plan: Path
) -> tuple[Manifest, LayerTable] | None:
    """The plan's manifest and layers if it is what building would give again; else None."""
    try:
        manifest = read_manifest(plan)
        check_plan(plan, manifest)
        layers = LayerTable.model_validate_json(layers_path(plan).read_bytes())
    except (InputError, OSError, ValueError):
        return None
    held = bool(manifest.contract) or getattr(options, "contract", None) is None
    same = (
        held
        and manifest.engine == target
        and manifest.precision == precision
        and manifest.graph_sha256 == graph_digest(graph)
        and manifest.fingerprint == runtime(target).fingerprint()
        and manifest.options == options.model_dump(mode="json")
    )
    return (manifest, layers) if same else None


def check_target(plan: Path) -> None:
    """Raises InputError where a plan cannot be written at ``plan``."""
    if plan.is_dir():
        raise InputError(f"{plan} is a folder: name a file to write the plan to")
    if not plan.parent.is_dir():
        raise InputError(f"there is no folder {plan.parent} to write the plan to: make it first")
    if not os.access(plan.parent, os.W_OK):
        raise InputError(f"folder {plan.parent} cannot be written to: name another with -o")
