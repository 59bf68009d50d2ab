"""The stage as Prefect runs it."""

from schemas.artifact import ArtifactRef
from schemas.base import Target
from schemas.surgery import SurgeryConfig, SurgeryResult
from tasks.caching import stage


@stage(
    "surgery",
    rooms=("artifacts",),
    versions=("onnx", "onnx-graphsurgeon", "onnxruntime", "numpy"),
)
def surgery(
    graph: ArtifactRef, samples: ArtifactRef, target: Target, config: SurgeryConfig
) -> SurgeryResult:
    """Repair an exported graph for a target, and prove that nothing broke."""
    import onnx
    from safetensors.numpy import load_file

    from tasks.artifacts.store import current_store
    from tasks.surgery.parity import prove
    from tasks.surgery.repair import repair

    store = current_store()
    raw = onnx.load(store.open(graph))
    repaired, passes = repair(raw, target, config.precision)
    known = load_file(store.open(samples))
    report = prove(
        raw,
        repaired,
        known["images"],
        known["logits_int8"],
        target,
        config,
        passes,
        known["logits_float32"],
    )
    return SurgeryResult(
        graph=store.put_bytes("onnx", repaired.SerializeToString(), ".onnx"),
        report=store.put_model("surgery-report", report),
    )
