"""Observers that cut an activation's range off, and one for weights.

One histogram of magnitudes a tensor, 4096 bins whatever the number of images; when a value lies
beyond its range, the range doubles and bins join in pairs, so that no count is ever guessed.
"""

from typing import Any

import torch
from torch import Tensor
from torch.ao.quantization import PerChannelMinMaxObserver
from torch.ao.quantization.observer import UniformQuantizationObserverBase

from tasks.models.thresholds import (
    Counts,
    entropy_threshold,
    mse_threshold,
    percentile_threshold,
)

BINS = 4096
WEIGHT_CUTS = 64
SMALLEST_CUT = 0.5


class MagnitudeHistogram(UniformQuantizationObserverBase):
    """What the observers of one histogram share; ``_threshold`` is where to cut it off.

    ``min_val`` and ``max_val`` are the extremes seen, as in PyTorch's own observers.
    """

    min_val: Tensor
    max_val: Tensor
    counts: Tensor
    bound: Tensor

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.register_buffer("min_val", torch.tensor(float("inf")))
        self.register_buffer("max_val", torch.tensor(float("-inf")))
        self.register_buffer("counts", torch.zeros(BINS, dtype=torch.float64))
        self.register_buffer("bound", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Count the magnitudes of ``x``, a floating tensor of any shape; gives it back."""
        if x.numel() == 0:
            return x
        magnitudes = x.detach().to(torch.float32)
        low, high = torch.aminmax(magnitudes)
        self.min_val.copy_(torch.minimum(self.min_val, low))
        self.max_val.copy_(torch.maximum(self.max_val, high))
        largest = float(torch.maximum(-low, high))
        if not torch.isfinite(self.min_val + self.max_val):
            return x
        if largest > float(self.bound):
            self._widen(largest)
        if float(self.bound) == 0:
            self.counts[0] += x.numel()
            return x
        # histc leaves out what lies beyond its range; nothing does now.
        found = torch.histc(magnitudes.abs().cpu(), BINS, 0, float(self.bound))
        self.counts += found.to(self.counts)
        return x

    def _widen(self, largest: float) -> None:
        if float(self.bound) == 0:
            # Only zeros so far: they are in the first bin, whatever its width.
            self.bound.fill_(largest)
            largest = float(self.bound)
        while float(self.bound) < largest:
            self.bound.mul_(2)
            joined = self.counts.view(-1, 2).sum(1)
            self.counts.copy_(torch.cat([joined, torch.zeros_like(joined)]))

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """Scale and zero-point of the grid, one element each."""
        bound = float(self.bound)
        counts = self.counts.cpu().numpy()
        cut = self._threshold(counts, bound) if bound > 0 else bound
        edge = torch.tensor(cut)
        grid: tuple[Tensor, Tensor] = self._calculate_qparams(-edge, edge)
        return grid

    @property
    def levels(self) -> int:
        """The largest integer on the positive side of the grid."""
        return int(self.quant_max - self.quant_min) // 2

    def _threshold(self, counts: Counts, bound: float) -> float:
        raise NotImplementedError


class PercentileObserver(MagnitudeHistogram):
    """Cuts off the largest magnitudes: 1 in 10,000 at the usual percentile of 99.99."""

    def __init__(self, percentile: float = 99.99, **settings: Any) -> None:
        super().__init__(**settings)
        self.percentile = percentile

    def _threshold(self, counts: Counts, bound: float) -> float:
        return percentile_threshold(counts, bound, self.percentile)


class MseObserver(MagnitudeHistogram):
    """Loses the least mean square to rounding and clipping together."""

    def _threshold(self, counts: Counts, bound: float) -> float:
        return mse_threshold(counts, bound, self.levels)


class EntropyObserver(MagnitudeHistogram):
    """Keeps the distribution closest to what it was: TensorRT's own calibrator."""

    def _threshold(self, counts: Counts, bound: float) -> float:
        return entropy_threshold(counts, bound, self.levels)


class PerChannelMseObserver(PerChannelMinMaxObserver):
    """Weights: the range of each output channel that loses the least mean square.

    Tries ranges from the whole one down to half of it. ``min_val`` and ``max_val`` are what is
    left of each channel's range.
    """

    def forward(self, x_orig: Tensor) -> Tensor:
        """``x_orig``: weights with the output channels along ``ch_axis``; gives them back."""
        super().forward(x_orig)  # type: ignore[no-untyped-call]
        rows = x_orig.detach().to(torch.float32).transpose(0, self.ch_axis).flatten(1)
        whole = rows.abs().amax(1, keepdim=True)
        levels = int(self.quant_max - self.quant_min) // 2
        best, least = whole, torch.full_like(whole, float("inf"))
        for share in torch.linspace(1.0, SMALLEST_CUT, WEIGHT_CUTS).tolist():
            scale = (whole * share / levels).clamp_min(torch.finfo(torch.float32).tiny)
            rounded = (rows / scale).round_().clamp_(-levels, levels) * scale
            loss = (rounded - rows).square_().sum(1, keepdim=True)
            better = loss < least
            best = torch.where(better, whole * share, best)
            least = torch.where(better, loss, least)
        edge = best.flatten().to(self.max_val.dtype)
        self.min_val.copy_(-edge)
        self.max_val.copy_(edge)
        return x_orig
