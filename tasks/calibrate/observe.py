"""Running images past the observers."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from tasks.calibrate.convergence import Convergence
from tasks.models.choose import choose, example_of
from tasks.models.quantizer import quantizer


@torch.inference_mode()
def observe(
    model: nn.Module,
    batches: Iterable[Tensor],
    config: QuantizationConfig,
    *,
    images_sha256: str,
    device: str = "cpu",
    convergence: Convergence | None = None,
) -> CalibrationTable:
    """The activation scales of an FP32 network that follow from some images.

    ``batches`` are float32[N, C, H, W]; one batch at a time is in memory. ``images_sha256`` names
    the images in the table. Raises InputError where the network cannot be prepared, or gives values
    that are not finite.

    ``convergence`` is shown the scales as they come about, and may end the calibration.

    A GPU multiplies in full float32 here: TF32 moves scales by up to 0.2 %.
    """
    incoming = iter(batches)
    first = next(incoming, None)
    if first is None:
        raise InputError("calibration: there are no images: check calibration.images and data")
    example = example_of(tuple(first.shape[1:]))
    chosen = quantizer(choose(model, config, example).mode)
    prepared = chosen.prepare(model, config, example).to(device)
    images = 0
    with _without_tf32():
        for batch in itertools.chain([first], incoming):
            prepared(batch.to(device, non_blocking=True))
            images += len(batch)
            if convergence is not None and convergence.due(images):
                enough = convergence.enough(images, chosen.read_ranges(prepared.cpu()))
                prepared.to(device)
                if enough:
                    break
    # The histogram's search looks at one bin after the other: on a GPU each look is a round trip,
    # and the search alone takes longer than the whole calibration on the CPU.
    ranges = chosen.read_ranges(prepared.cpu())
    return CalibrationTable(images=images, images_sha256=images_sha256, tensors=ranges)


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
