"""The observers that a job can name."""

from typing import Any

import torch
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

OBSERVERS: dict[str, type[ObserverBase]] = {
    "minmax": MinMaxObserver,
    "moving_average": MovingAverageMinMaxObserver,
    "histogram": HistogramObserver,
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
