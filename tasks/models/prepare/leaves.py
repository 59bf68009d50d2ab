"""For networks that cannot be traced: each weighted module between stubs of its own."""

import copy

from torch import Tensor, nn
from torch.ao.quantization import DeQuantStub, QuantStub

from schemas.convert import QuantizationConfig, QuantizedModule
from tasks.models.prepare.operations import WEIGHTED
from tasks.models.prepare.place import Placement
from tasks.models.prepare.reach import execution_order, reached_modules, value_read_from
from tasks.models.prepare.trace import DataDependentError
from tasks.models.selection import Selection


class BetweenStubs(nn.Module):
    """A module that takes and gives float tensors and computes in INT8."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.quant = QuantStub()
        self.module = module
        self.dequant = DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.dequant(self.module(self.quant(x)))
        return result


def wrap_leaves(
    model: nn.Module, config: QuantizationConfig, example: Tensor, reason: str
) -> tuple[nn.Module, Placement]:
    """A copy with stubs around every convolution and linear layer that the example reaches.

    Nothing is fused, because only a graph tells what follows what. Raises DataDependentError where
    the values of the images decide what is computed, since an export would keep one case.
    """
    line = value_read_from(model, example)
    if line is not None:
        raise DataDependentError(f"its forward decides by the values of the images ({line})")
    network = copy.deepcopy(model)
    network.eval()
    selection = Selection(model, config, execution_order(network, example))
    reached = reached_modules(network, example)
    placement = Placement()
    for name, module in list(network.named_modules()):
        if any(module.children()):
            continue
        why = _why_float(name, module, reached, selection)
        if why is None:
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, BetweenStubs(module))
        else:
            placement.float_modules.add(name)
        if name in reached:
            placement.modules.append(
                QuantizedModule(
                    name=name,
                    kind=type(module).__name__,
                    quantized=why is None,
                    why=why or f"alone between stubs: {reason}",
                )
            )
    return network, placement


def _why_float(name: str, module: nn.Module, reached: set[str], selection: Selection) -> str | None:
    if name not in reached:
        return "the example does not reach it"
    if type(module) not in WEIGHTED or getattr(module, "padding_mode", "zeros") != "zeros":
        return "only convolutions and linear layers are quantized in a network without a graph"
    return selection.why_float(name, type(module))
