"""Whether more images would change the scales."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from schemas.calibrate import CalibrationConfig, ScaleCheck, TensorRange

HALVINGS = 2
"""Looks before the job's number of images: at a half and at a quarter of it."""

MOST_SETTLED = 0.9
"""Share of the scales that must have settled: a few follow the largest value of a single image."""


@dataclass(frozen=True)
class Look:
    """What a calibration would have come to after so many images."""

    images: int
    ranges: Mapping[str, TensorRange]


class Convergence:
    """Looks at the scales whenever the number of images has doubled.

    Each look computes every scale, which with the histogram observer takes as long as some batches.
    """

    def __init__(self, config: CalibrationConfig) -> None:
        self._config = config
        self._next: float = config.images / 2**HALVINGS
        self._last: Look | None = None
        self.before: Look | None = None
        """The last look but one: at half as many images."""
        self.checks: list[ScaleCheck] = []

    def due(self, images: int) -> bool:
        """Whether it is time for a look, after so many images."""
        return bool(images >= self._next)

    def enough(self, images: int, ranges: Mapping[str, TensorRange]) -> bool:
        """Take note of the scales after so many images; whether no more images are needed."""
        while self._next <= images:
            self._next *= 2
        self.before, self._last = self._last, Look(images, ranges)
        known = self.before.ranges if self.before else {}
        changes = {
            name: abs(entry.scale / known[name].scale - 1)
            for name, entry in ranges.items()
            if name in known
        }
        if changes:
            worst = max(changes, key=lambda name: changes[name])
            self.checks.append(
                ScaleCheck(
                    images=images,
                    largest_change=changes[worst],
                    tensor=worst,
                    median_change=float(np.median(list(changes.values()))),
                    settled=float(np.mean([x <= self._config.tolerance for x in changes.values()])),
                )
            )
        if images < self._config.images:
            return False
        return self._config.until == "images" or bool(self.converged)

    @property
    def converged(self) -> bool | None:
        """Whether the scales had settled at the last look; None where there was only one."""
        return self.checks[-1].settled >= MOST_SETTLED if self.checks else None
