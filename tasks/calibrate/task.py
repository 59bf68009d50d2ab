"""The stage as Prefect runs it."""

import time

from schemas.calibrate import CalibrateResult, CalibrationConfig
from schemas.convert import QuantizationConfig
from schemas.data import DataRef
from schemas.model import ModelRef
from tasks.caching import stage


@stage("calibrate", rooms=("artifacts", "models", "datasets"), versions=("torch", "torchvision"))
def calibrate(
    model: ModelRef, data: DataRef, calibration: CalibrationConfig, quantization: QuantizationConfig
) -> CalibrateResult:
    """Choose every activation's scale from calibration images."""
    import torch

    from tasks.artifacts.store import current_store
    from tasks.calibrate.observe import observe
    from tasks.calibrate.sample import draw
    from tasks.datasets.open import open_dataset
    from tasks.models.choose import choose, example_of
    from tasks.models.float32 import load_float32

    store = current_store()
    network = load_float32(model, store)
    candidates = open_dataset(data.config, calibration.split)
    indices, digest = draw(candidates, open_dataset(data.config, "test"), calibration)
    choice = choose(network, quantization, example_of(data.input_shape))
    settled = quantization.model_copy(update={"mode": choice.mode})
    started = time.perf_counter()
    batches = candidates.batches(calibration.batch_size, indices, "calibrate")
    table = observe(
        network,
        (torch.from_numpy(batch.images) for batch in batches),
        settled,
        images_sha256=digest,
    )
    elapsed = time.perf_counter() - started
    return CalibrateResult(
        table=store.put_model("calibration", table),
        images_per_second=len(indices) / elapsed,
        mode=choice.mode,
        mode_reason=choice.reason,
    )
