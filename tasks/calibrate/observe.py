"""Running images past the observers."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig
from tasks.models.eager import prepare_for_calibration, read_ranges


@torch.inference_mode()
def observe(
    model: nn.Module,
    batches: Iterable[Tensor],
    config: QuantizationConfig,
    *,
    images_sha256: str,
    device: str = "cpu",
) -> CalibrationTable:
    """The activation scales of an FP32 network that follow from some images.

    ``batches`` are float32[N, C, H, W]; one batch at a time is in memory. ``images_sha256`` names
    the images in the table. Raises InputError where the network cannot be prepared, or gives values
    that are not finite.
    """
    prepared = prepare_for_calibration(model, config).to(device)
    images = 0
    for batch in batches:
        prepared(batch.to(device, non_blocking=True))
        images += len(batch)
    return CalibrationTable(
        images=images, images_sha256=images_sha256, tensors=read_ranges(prepared)
    )
