"""The stage as Prefect runs it."""

from schemas.calibrate import CalibrationConfig
from schemas.convert import QuantizationConfig
from schemas.correct import CorrectionConfig, CorrectResult
from schemas.data import DataRef
from schemas.model import ModelRef
from tasks.caching import stage


@stage("correct", rooms=("artifacts", "models", "datasets"), versions=("torch", "torchvision"))
def correct(
    model: ModelRef,
    data: DataRef,
    calibration: CalibrationConfig,
    quantization: QuantizationConfig,
    config: CorrectionConfig,
) -> CorrectResult:
    """A checkpoint to quantize, its biases corrected for the rounding of its weights."""
    import torch

    from tasks.artifacts.store import current_store
    from tasks.correct.correct import correct_biases
    from tasks.datasets.open import open_dataset
    from tasks.datasets.sample import draw
    from tasks.models.float32 import load_float32
    from tasks.models.weights import save_weights

    store = current_store()
    network = load_float32(model, store)
    candidates = open_dataset(data.config, calibration.split)
    indices, _ = draw(candidates, open_dataset(data.config, "test"), calibration)
    batches = candidates.batches(calibration.batch_size, indices[: config.images], "correct")
    images = (torch.from_numpy(batch.images) for batch in batches)
    summary = correct_biases(network, images, quantization)
    with store.workspace() as folder:
        file = folder / "corrected.safetensors"
        save_weights(network, file)
        return CorrectResult(
            weights=store.put_file("checkpoint", file),
            summary=store.put_model("correction", summary),
        )
