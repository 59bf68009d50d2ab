"""The stage as Prefect runs it."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from schemas.calibrate import CalibrateResult, CalibrationConfig, CalibrationSpeed
from schemas.convert import QuantizationConfig
from schemas.data import DataRef
from schemas.model import ModelRef
from tasks.caching import stage

if TYPE_CHECKING:
    import torch

    from tasks.datasets.dataset import Indices

CHECKED_IMAGES = 128
"""Images that saturation is counted on, once the scales are known."""
ANSWERED_IMAGES = 512
"""Images that are answered on the grids of half the images and of all."""


@stage(
    "calibrate",
    rooms=("artifacts", "models", "datasets"),
    versions=("torch", "torchvision", "torchao"),
)
def calibrate(
    model: ModelRef, data: DataRef, calibration: CalibrationConfig, quantization: QuantizationConfig
) -> CalibrateResult:
    """Choose every activation's scale from calibration images."""
    import logging

    import torch

    from tasks.artifacts.store import current_store
    from tasks.calibrate.answers import compare_answers
    from tasks.calibrate.convergence import Convergence
    from tasks.calibrate.observe import observe
    from tasks.calibrate.quality import assess, saturation
    from tasks.datasets.open import open_dataset
    from tasks.datasets.sample import draw_at_most
    from tasks.models.admit import admit
    from tasks.models.choose import choose, example_of
    from tasks.models.float32 import load_float32
    from tasks.models.quantizer import quantizer

    store = current_store()
    network = load_float32(model, store)
    candidates = open_dataset(data.config, calibration.split)
    converging = calibration.until == "converged"
    most = max(calibration.images, calibration.max_images if converging else 0)
    drawn = draw_at_most(most, candidates, open_dataset(data.config, "test"), calibration)
    example = example_of(data.input_shape)
    admit(network, example, data.num_classes)
    choice = choose(network, quantization, example)
    settled = quantization.model_copy(update={"mode": choice.mode})
    started = time.perf_counter()
    batches = candidates.batches(calibration.batch_size, drawn.indices, "calibrate")
    convergence = Convergence(calibration)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    table = observe(
        network,
        (torch.from_numpy(batch.images) for batch in batches),
        settled,
        images_sha256="",
        convergence=convergence,
        device=device,
    )
    elapsed = time.perf_counter() - started
    table = table.model_copy(update={"images_sha256": drawn.sha256(table.images)})
    used = drawn.indices[: table.images]
    few, answered = used[:CHECKED_IMAGES], used[:ANSWERED_IMAGES]

    def again(indices: "Indices") -> "Iterator[torch.Tensor]":
        batches = candidates.batches(calibration.batch_size, indices)
        return (torch.from_numpy(batch.images) for batch in batches)

    # Names of observers do not depend on their kind, and this is the quickest.
    cheapest = settled.model_copy(update={"observer": "minmax", "observers": {}})
    prepared = quantizer(choice.mode).prepare(network, cheapest, example)
    accuracy = None
    if convergence.before is not None:
        labels = candidates.labels[answered]
        accuracy = compare_answers(
            prepared, again(answered), labels, convergence.before, table, choice.mode
        )
    quality = assess(
        table,
        saturation(prepared, again(few), table, choice.mode),
        len(few),
        accuracy,
        candidates.labels[used],
        candidates.classes,
        drawn.left_out,
        convergence.checks,
        convergence.converged,
        calibration,
    )
    for warning in quality.warnings:
        logging.getLogger("enginesmith").warning("calibration: %s", warning)
    return CalibrateResult(
        table=store.put_model("calibration", table),
        quality=store.put_model("calibration-quality", quality),
        speed=CalibrationSpeed(images_per_second=table.images / elapsed, device=device),
        mode=choice.mode,
        mode_reason=choice.reason,
    )
