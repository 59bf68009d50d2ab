"""Operations between tensors as modules, so that an observer has a place behind them."""

from torch import Tensor, nn
from torch.ao.nn.quantized import FloatFunctional


class FunctionalOp(nn.Module):
    """One operation of a FloatFunctional, in a module that a graph can call."""

    def __init__(self) -> None:
        super().__init__()
        self.op = FloatFunctional()


class Add(FunctionalOp):
    """``x + y``."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        result: Tensor = self.op.add(x, y)
        return result


class AddReLU(FunctionalOp):
    """``relu(x + y)``."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        result: Tensor = self.op.add_relu(x, y)
        return result


class Mul(FunctionalOp):
    """``x * y``."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        result: Tensor = self.op.mul(x, y)
        return result


class Cat(FunctionalOp):
    """``torch.cat(tensors, dim)``."""

    def forward(self, tensors: list[Tensor], dim: int) -> Tensor:
        result: Tensor = self.op.cat(tensors, dim)
        return result
