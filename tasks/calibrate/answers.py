"""Whether accuracy has settled with the number of images: answers on the grids of fewer of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schemas.calibrate import AccuracyCheck, CalibrationTable, TensorRange
from schemas.convert import QuantizedMode
from tasks.calibrate.convergence import Look
from tasks.calibrate.quality import LEVELS, LOWEST


@torch.inference_mode()
def compare_answers(
    prepared: nn.Module,
    batches: Iterable[Tensor],
    labels: NDArray[np.int64],
    before: Look,
    table: CalibrationTable,
    mode: QuantizedMode,
) -> AccuracyCheck:
    """What a network answers on the grids of a whole calibration, against those of fewer images.

    ``prepared`` is a network with its observers in place, as ``mode`` has it, ``batches`` are
    float32[N, C, H, W] and ``labels: int64[N]`` theirs. Weights stay in float.
    """
    answers: tuple[list[Tensor], list[Tensor]] = ([], [])
    for batch in batches:
        for kept, ranges in zip(answers, (before.ranges, table.tensors), strict=True):
            with _on_grids(prepared, ranges, mode):
                kept.append(prepared(batch).reshape(len(batch), -1).argmax(1))
    earlier, now = (torch.cat(kept).numpy() == labels for kept in answers)
    return AccuracyCheck(
        answered=len(labels),
        fewer_images=before.images,
        top1_before=float(earlier.mean()),
        top1=float(now.mean()),
        to_wrong=int((earlier & ~now).sum()),
        to_right=int((now & ~earlier).sum()),
    )


@contextmanager
def _on_grids(
    prepared: nn.Module, ranges: Mapping[str, TensorRange], mode: QuantizedMode
) -> Iterator[None]:
    """Every observed activation is rounded to its grid."""

    def rounding(scale: float) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        return lambda _, __, x: torch.fake_quantize_per_tensor_affine(
            x, scale, 0, LOWEST[mode], LEVELS
        )

    modules = dict(prepared.named_modules())
    handles = [
        modules[name].register_forward_hook(rounding(entry.scale))
        for name, entry in ranges.items()
        if name in modules
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
