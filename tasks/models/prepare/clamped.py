"""A convolution or linear layer with a ReLU6 behind it, on one grid."""

from typing import Any

from torch import Tensor, nn
from torch.ao.nn import quantized


class Clamped(nn.Module):
    """``inner`` is PyTorch's fused pair, with a ReLU6 in the ReLU's place while observers watch.

    The observer sees clamped values, so the INT8 kernel writes to a grid that ends at 6 or below.
    The clamp is applied once more behind it and stays in the INT8 network: a compiler may take the
    same scale with unsigned integers, whose grid goes twice as far.
    """

    def __init__(self, inner: Any) -> None:
        super().__init__()
        inner[1] = nn.ReLU6()
        self.inner = inner
        self.clamp = nn.ReLU6()
        # On INT8 tensors it is a clamp of integers; without observer it stays that.
        self.clamp.qconfig = None  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.clamp(self.inner(x))
        return result


_PLAIN: tuple[type, ...] = (
    quantized.Linear,
    quantized.Conv1d,
    quantized.Conv2d,
    quantized.Conv3d,
)


def drop_relus(int8: nn.Module) -> None:
    """Let the clamp alone cut off what is negative, in place: the two then export as one Clip."""
    for module in int8.modules():
        if isinstance(module, Clamped):
            # The integer modules with ReLU differ from those without in what forward calls.
            module.inner.__class__ = next(c for c in type(module.inner).__mro__ if c in _PLAIN)
