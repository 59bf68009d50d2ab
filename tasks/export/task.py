"""The stage as Prefect runs it."""

from schemas.artifact import ArtifactRef
from schemas.calibrate import CalibrationConfig
from schemas.convert import QuantizationConfig
from schemas.data import DataRef
from schemas.export import ExportConfig, ExportResult
from schemas.model import ModelRef
from tasks.caching import stage


@stage(
    "export",
    rooms=("artifacts", "models", "datasets"),
    versions=("torch", "torchvision", "onnx"),
)
def export(
    model: ModelRef,
    int8_state: ArtifactRef,
    quantization: QuantizationConfig,
    data: DataRef,
    calibration: CalibrationConfig,
    config: ExportConfig,
) -> ExportResult:
    """Write the INT8 and the FP32 network as ONNX, and what torch answers for a few images."""
    from tasks.artifacts.store import current_store
    from tasks.datasets.open import open_dataset
    from tasks.export.samples import parity_samples
    from tasks.export.to_onnx import export_onnx
    from tasks.models.float32 import load_float32
    from tasks.models.int8 import load_int8

    store = current_store()
    float32 = load_float32(model, store)
    int8, exporter = load_int8(float32, quantization, store.open(int8_state), data.input_shape)
    images = open_dataset(data.config, calibration.split)
    with store.workspace() as folder:
        quantized_file, float32_file = folder / "quantized.onnx", folder / "float32.onnx"
        export_onnx(int8, data.input_shape, config, quantized_file, exporter)
        export_onnx(float32, data.input_shape, config, float32_file, exporter)
        return ExportResult(
            quantized=store.put_file("onnx", quantized_file),
            float32=store.put_file("onnx", float32_file),
            samples=store.put_bytes(
                "samples",
                parity_samples(float32, int8, images, config.parity_images, calibration.seed),
                ".safetensors",
            ),
        )
