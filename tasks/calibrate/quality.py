"""What is wrong with a calibration, from its images and from how its grids fit them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schemas.calibrate import (
    AccuracyCheck,
    CalibrationConfig,
    CalibrationQuality,
    CalibrationTable,
    ScaleCheck,
    TensorQuality,
    TensorRange,
)
from schemas.convert import QuantizedMode

MOST_SATURATED = 0.01
"""Share of a tensor's values beyond its grid from which on there is a warning."""
NAMED = 3
LEVELS = 127
LOWEST: dict[QuantizedMode, int] = {"eager": -128, "fx": -128, "pt2e": -127}
"""Where activations' grids begin, in steps; all of them end at LEVELS."""


@torch.inference_mode()
def saturation(
    prepared: nn.Module, batches: Iterable[Tensor], table: CalibrationTable, mode: QuantizedMode
) -> dict[str, float]:
    """The share of each activation's values beyond the ends of its grid, by observer name.

    ``prepared`` is a network with its observers in place, as ``mode`` has it, ``batches`` are
    float32[N, C, H, W].
    """
    lowest = LOWEST[mode]
    beyond = dict.fromkeys(table.tensors, 0)
    seen = dict.fromkeys(table.tensors, 0)

    def counting(name: str, entry: TensorRange) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        # Half a step beyond the last level still rounds to it; a clamp's own bound, such as 6, may
        # lie at that very end, where float32 rounds.
        low = (lowest - 0.5001) * entry.scale
        high = (LEVELS + 0.5001) * entry.scale

        def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0]
            beyond[name] += int((x < low).sum() + (x > high).sum())
            seen[name] += x.numel()

        return count

    modules = dict(prepared.named_modules())
    handles = [
        modules[name].register_forward_pre_hook(counting(name, entry))
        for name, entry in table.tensors.items()
        if name in modules
    ]
    try:
        for batch in batches:
            prepared(batch)
    finally:
        for handle in handles:
            handle.remove()
    return {name: beyond[name] / seen[name] for name in table.tensors if seen[name]}


def assess(
    table: CalibrationTable,
    saturated: Mapping[str, float],
    checked_images: int,
    accuracy: AccuracyCheck | None,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    left_out: int,
    checks: Sequence[ScaleCheck],
    converged: bool | None,
    config: CalibrationConfig,
) -> CalibrationQuality:
    """The quality of a calibration, with a line for everything that a user should look at.

    ``labels: int64[images]`` are those of the images that were used.
    """
    counts = np.bincount(labels, minlength=len(classes))
    by_class = {name: int(count) for name, count in zip(classes, counts, strict=True)}
    tensors = tuple(
        TensorQuality(
            name=name,
            scale=entry.scale,
            saturated=saturated.get(name, 0.0),
            unused=_unused(entry),
            constant=entry.minimum == entry.maximum,
        )
        for name, entry in table.tensors.items()
    )
    warnings = (
        *_about_classes(by_class),
        *_about_tensors(tensors),
        *_about_convergence(checks, converged, config),
        *_about_accuracy(accuracy, table.images, config),
    )
    return CalibrationQuality(
        images=table.images,
        images_by_class=by_class,
        left_out=left_out,
        checks=tuple(checks),
        converged=converged,
        accuracy=accuracy,
        checked_images=checked_images,
        tensors=tensors,
        warnings=warnings,
    )


def _unused(entry: TensorRange) -> float:
    largest = max(abs(entry.minimum), abs(entry.maximum))
    return max(0.0, 1 - largest / (LEVELS * entry.scale))


def _about_classes(by_class: Mapping[str, int]) -> list[str]:
    missing = [name for name, count in by_class.items() if not count]
    present = [name for name, count in by_class.items() if count]
    if len(by_class) < 2 or not missing:
        return []
    if len(present) == 1:
        return [
            f"all calibration images are of one class, {present[0]}: the scales may not fit the "
            "others; calibrate on images of every class"
        ]
    return [
        f"{len(missing)} of {len(by_class)} classes have no calibration image ({_few(missing)}): "
        "use more images"
    ]


def _about_tensors(tensors: Sequence[TensorQuality]) -> list[str]:
    found = []
    constant = [t.name for t in tensors if t.constant]
    if constant:
        found.append(
            f"{len(constant)} activations never changed over all images ({_few(constant)}): the "
            "network has dead channels there, or the images are all alike"
        )
    saturated = sorted(
        (t for t in tensors if t.saturated > MOST_SATURATED), key=lambda t: -t.saturated
    )
    if saturated:
        worst = saturated[0]
        found.append(
            f"{len(saturated)} activations lie beyond their grid with more than "
            f"{MOST_SATURATED:.0%} of their values, {worst.name} with {worst.saturated:.1%}: try "
            "quantization.observer minmax or mse"
        )
    return found


def _about_convergence(
    checks: Sequence[ScaleCheck], converged: bool | None, config: CalibrationConfig
) -> list[str]:
    if converged is not False:
        return []
    last = checks[-1]
    return [
        f"the scales have not settled: over the last doubling to {last.images} images "
        f"{1 - last.settled:.0%} of them changed by more than {config.tolerance:.0%}, that of "
        f"{last.tensor} by {last.largest_change:.0%}; {_more_images(config)}"
    ]


def _about_accuracy(
    check: AccuracyCheck | None, images: int, config: CalibrationConfig
) -> list[str]:
    if check is None:
        return []
    changed = check.to_wrong + check.to_right
    # McNemar's statistic; of fewer than six answers not even all to one side are told from chance.
    if changed < 6 or abs(check.to_wrong - check.to_right) <= 1.96 * math.sqrt(changed):
        return []
    return [
        f"accuracy has not settled: of {check.answered} answers, the scales of {images} images, "
        f"against those of {check.fewer_images}, turn {check.to_wrong} wrong and {check.to_right} "
        f"right; {_more_images(config)}"
    ]


def _more_images(config: CalibrationConfig) -> str:
    if config.until == "converged":
        return "raise calibration.max_images"
    return "use more calibration.images, or calibration.until: converged"


def _few(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest
