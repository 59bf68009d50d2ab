"""The stage as Prefect runs it."""

from typing import Any

from schemas.artifact import ArtifactRef
from schemas.base import Target
from schemas.export import ExportResult
from schemas.sensitivity import LayerErrorsResult
from tasks.caching import stage
from tasks.runtimes.registry import runtime

IMAGES = 16


def _runtime_fingerprint(parameters: dict[str, Any]) -> dict[str, str]:
    return runtime(parameters["target"]).fingerprint()


@stage(
    "sensitivity",
    rooms=("artifacts", "runtimes"),
    versions=("onnx", "onnxruntime", "numpy"),
    fingerprint=_runtime_fingerprint,
)
def layer_errors(
    exported: ExportResult, repaired: ArtifactRef, target: Target
) -> LayerErrorsResult:
    """How far each layer is from FP32, in PyTorch's INT8 network, the graph and the engine."""
    from safetensors.numpy import load_file

    from tasks.artifacts.store import current_store
    from tasks.sensitivity.layers import layer_error

    store = current_store()
    report = layer_error(
        store.open(exported.float32),
        store.open(exported.quantized),
        store.open(repaired),
        load_file(store.open(exported.samples))["images"][:IMAGES],
        target,
    )
    return LayerErrorsResult(report=store.put_model("layer-errors", report))
