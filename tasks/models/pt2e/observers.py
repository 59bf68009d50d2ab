"""A job's observers in the form that torchao takes."""

from typing import Any

import torch
from torch import Tensor
from torch.ao.quantization import ObserverBase as EagerObserver
from torchao.quantization.pt2e.observer import FixedQParamsObserver, MinMaxObserver, ObserverBase
from torchao.quantization.pt2e.quantizer import QuantizationSpec

from schemas.convert import Observer, QuantizationConfig
from tasks.models.observers import OBSERVERS, WEIGHT_OBSERVERS, observer_settings

LARGEST = 127
_INT8: dict[str, Any] = {
    "dtype": torch.int8,
    "quant_min": -LARGEST,
    "quant_max": LARGEST,
    "is_dynamic": False,
}


class _Adapted(ObserverBase):  # type: ignore[misc]
    """An observer of torch.ao as one of torchao, which knows its own class only.

    ``kind`` and ``settings`` make the one inside; the rest is what torchao says of the grid.
    """

    def __init__(
        self,
        kind: type[EagerObserver],
        settings: dict[str, Any],
        *,
        dtype: torch.dtype,
        is_dynamic: bool,
        **grid: Any,
    ) -> None:
        super().__init__(dtype=dtype, is_dynamic=is_dynamic)
        self.quant_min = grid["quant_min"]
        self.quant_max = grid["quant_max"]
        self.qscheme = grid["qscheme"]
        self.ch_axis = grid.get("ch_axis")
        self.inner = kind(dtype=torch.qint8, **grid, **settings)

    def forward(self, x: Tensor) -> Tensor:
        self.inner(x.detach())
        return x

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scales float32[1 or channels], and as many zero-points, all 0."""
        scale, zero_point = self.inner.calculate_qparams()  # type: ignore[no-untyped-call]
        return scale, zero_point


class ActivationObserver(_Adapted):
    """Chooses a symmetric int8 grid of +-127 steps for activations."""


class PerChannelWeightObserver(_Adapted):
    """The same for every channel of weights. torchao asks the class's name for ``PerChannel``."""


def fixed_observer(scale: float) -> FixedQParamsObserver:
    """An observer that gives one scale, whatever it sees."""
    return FixedQParamsObserver(
        scale=scale, zero_point=0, qscheme=torch.per_tensor_symmetric, **_INT8
    )


def activation_spec(observer: Observer, config: QuantizationConfig) -> QuantizationSpec:
    """int8 per tensor, the range by an observer."""
    return QuantizationSpec(
        observer_or_fake_quant_ctr=ActivationObserver.with_args(
            kind=OBSERVERS[observer], settings=observer_settings(observer, config)
        ),
        qscheme=torch.per_tensor_symmetric,
        **_INT8,
    )


def weight_spec(axis: int | None, config: QuantizationConfig) -> QuantizationSpec:
    """int8 per channel along ``axis``; None: per tensor, from the least to the largest weight."""
    if axis is None:
        return QuantizationSpec(
            observer_or_fake_quant_ctr=MinMaxObserver, qscheme=torch.per_tensor_symmetric, **_INT8
        )
    return QuantizationSpec(
        observer_or_fake_quant_ctr=PerChannelWeightObserver.with_args(
            kind=WEIGHT_OBSERVERS[config.weight_observer], settings={}
        ),
        qscheme=torch.per_channel_symmetric,
        ch_axis=axis,
        **_INT8,
    )
