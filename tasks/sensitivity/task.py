"""The stage as Prefect runs it."""

from typing import Any

from schemas.artifact import ArtifactRef
from schemas.base import Target
from schemas.calibrate import CalibrationConfig
from schemas.convert import QuantizationConfig
from schemas.data import DataRef
from schemas.export import ExportResult
from schemas.model import ModelRef
from schemas.sensitivity import (
    Assignment,
    LayerErrorsResult,
    MixedPrecisionConfig,
    SearchResult,
    SensitivityResult,
)
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


@stage("sensitivity", rooms=("artifacts", "models", "datasets"), versions=("torch", "torchvision"))
def sensitivity(
    model: ModelRef,
    data: DataRef,
    calibration: CalibrationConfig,
    quantization: QuantizationConfig,
    config: MixedPrecisionConfig,
) -> SensitivityResult:
    """What quantizing each layer alone does to the network's answers."""
    import torch

    from tasks.artifacts.store import current_store
    from tasks.datasets.open import open_dataset
    from tasks.datasets.sample import draw
    from tasks.models.float32 import load_float32
    from tasks.sensitivity.measure import measure_sensitivity

    store = current_store()
    candidates = open_dataset(data.config, calibration.split)
    indices, _ = draw(candidates, open_dataset(data.config, "test"), calibration)
    batches = candidates.batches(calibration.batch_size, indices[: config.images])
    images = [torch.from_numpy(batch.images) for batch in batches]
    found = measure_sensitivity(load_float32(model, store), images, quantization)
    return SensitivityResult(report=store.put_model("sensitivity", found))


@stage("sensitivity", rooms=("artifacts",))
def search_report(
    target: Target, max_drop_points: float, measured: SensitivityResult, tried: list[Assignment]
) -> SearchResult:
    """The assignments side by side, and the one to take."""
    from schemas.sensitivity import Sensitivity
    from tasks.artifacts.store import current_store
    from tasks.sensitivity.search import report_of

    store = current_store()
    layers = store.load(measured.report, Sensitivity)
    report = report_of(target, max_drop_points, layers, tried)
    return SearchResult(report=store.put_model("search", report))
