"""The observers that a job can name."""

from typing import Any

import torch
from torch import Tensor
from torch.ao.quantization import (
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    ObserverBase,
    PerChannelMinMaxObserver,
)

from schemas.convert import Observer, QuantizationConfig
from tasks.models.clipping import (
    EntropyObserver,
    MseObserver,
    PercentileObserver,
    PerChannelMseObserver,
)


class FiniteHistogramObserver(HistogramObserver):
    """PyTorch's own, which leaves infinities out without a word and breaks off at NaN.

    Here both are in ``min_val`` or ``max_val`` from then on, as with every other observer.
    """

    min_val: Tensor
    max_val: Tensor

    def forward(self, x_orig: Tensor) -> Tensor:
        """Count the values of ``x_orig``, a floating tensor of any shape; gives it back."""
        if x_orig.numel() == 0:
            return x_orig
        low, high = torch.aminmax(x_orig.detach())
        low, high = torch.minimum(self.min_val, low), torch.maximum(self.max_val, high)
        if torch.isfinite(low + high):
            super().forward(x_orig)
        else:
            self.min_val.copy_(low)
            self.max_val.copy_(high)
        return x_orig


OBSERVERS: dict[str, type[ObserverBase]] = {
    "minmax": MinMaxObserver,
    "moving_average": MovingAverageMinMaxObserver,
    "histogram": FiniteHistogramObserver,
    "percentile": PercentileObserver,
    "mse": MseObserver,
    "entropy": EntropyObserver,
}
"""For activations."""

WEIGHT_OBSERVERS: dict[str, type[ObserverBase]] = {
    "minmax": PerChannelMinMaxObserver,
    "mse": PerChannelMseObserver,
}


def activation_observer(observer: Observer, config: QuantizationConfig) -> Any:
    """A constructor of observers of activations: quint8 around 128, the grid of int8 around 0."""
    return OBSERVERS[observer].with_args(
        dtype=torch.quint8,
        qscheme=torch.per_tensor_symmetric,
        **observer_settings(observer, config),
    )


def weight_observer(config: QuantizationConfig) -> Any:
    """A constructor of observers of weights: int8 within +-127 per output channel."""
    return WEIGHT_OBSERVERS[config.weight_observer].with_args(
        dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-127, quant_max=127
    )


def observer_settings(observer: Observer, config: QuantizationConfig) -> dict[str, Any]:
    """What the job says about one kind of activation observer, as its keyword arguments."""
    return {"percentile": config.percentile} if observer == "percentile" else {}
