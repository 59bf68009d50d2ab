"""The stage as Prefect runs it."""

from schemas.artifact import ArtifactRef
from schemas.convert import ConvertResult, QuantizationConfig
from schemas.data import DataRef
from schemas.model import ModelRef
from tasks.caching import stage


@stage("convert", rooms=("artifacts", "models"), versions=("torch", "torchvision", "torchao"))
def convert(
    model: ModelRef,
    calibration_table: ArtifactRef,
    quantization: QuantizationConfig,
    data: DataRef,
    mode_reason: str = "",
) -> ConvertResult:
    """Make the INT8 network from the FP32 network and its scales."""
    from schemas.calibrate import CalibrationTable
    from tasks.artifacts.store import current_store
    from tasks.convert.quantize import quantize
    from tasks.models.choose import example_of
    from tasks.models.float32 import load_float32

    store = current_store()
    table = store.load(calibration_table, CalibrationTable)
    reason = mode_reason or f"quantization.mode is {quantization.mode}"
    example = example_of(data.input_shape)
    state, summary = quantize(load_float32(model, store), quantization, table, example, reason)
    return ConvertResult(
        state=store.put_bytes("int8-state", state, ".pt"),
        summary=store.put_model("modules", summary),
    )
