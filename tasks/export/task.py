"""The stage as Prefect runs it."""

from schemas.artifact import ArtifactRef
from schemas.calibrate import CalibrationConfig
from schemas.convert import QuantizationConfig
from schemas.data import DataRef
from schemas.export import ExportConfig, ExportResult
from schemas.model import ModelRef
from tasks.caching import stage

VERSIONS = ("torch", "torchvision", "torchao", "onnx", "onnxscript")


@stage("export", rooms=("artifacts", "models", "datasets"), versions=VERSIONS)
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


@stage("export", rooms=("artifacts", "models"), versions=VERSIONS)
def export_float32(
    model: ModelRef, quantization: QuantizationConfig, data: DataRef, config: ExportConfig
) -> ArtifactRef:
    """Write an FP32 network alone, by the exporter of the mode that ``quantization`` names."""
    from tasks.artifacts.store import current_store
    from tasks.export.to_onnx import export_onnx
    from tasks.models.choose import choose, example_of
    from tasks.models.float32 import load_float32
    from tasks.models.quantizer import quantizer

    store = current_store()
    network = load_float32(model, store)
    mode = choose(network, quantization, example_of(data.input_shape)).mode
    with store.workspace() as folder:
        file = folder / "float32.onnx"
        export_onnx(network, data.input_shape, config, file, quantizer(mode).exporter)
        return store.put_file("onnx", file)
