"""INT8's rounding inside a training network: straight through on the way back.

Each layer's weights and input are rounded as its engine will round them, while the network keeps
its own modules and parameters, so that what was trained is a checkpoint like any other. BatchNorm
need not be folded for that: it multiplies an output channel by a number, and the grid of that
channel's weights with it.

Source: Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference" (arXiv:1712.05877), section 3; Bengio, Leonard, Courville
(arXiv:1308.3432) for the straight-through gradient.
"""

import itertools
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from tasks.models.observers import activation_observer
from tasks.models.prepare.reach import execution_order
from tasks.models.selection import Selection

LARGEST = 127


class RoundedWeights(nn.Module):
    """Weights on the int8 grid of each output channel's own range at the moment."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, weights: Tensor) -> Tensor:
        others = [d for d in range(weights.ndim) if d != self.axis]
        values = weights.detach()
        scale = values.abs().amax(others, keepdim=True).clamp_min(1e-12) / LARGEST
        # Nothing is clipped, so every gradient passes. PyTorch's own kernel looks at its
        # zero-points, for which a GPU would be waited for in every layer.
        return weights - values + torch.round(values / scale) * scale


class RoundedInput(nn.Module):
    """A layer's input on the grid that calibration chose; values beyond it get no gradient."""

    scale: Tensor
    zero: Tensor

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("zero", torch.zeros((), dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(
            x, self.scale, self.zero, -LARGEST - 1, LARGEST
        )


@torch.no_grad()
def simulate_rounding(
    model: nn.Module, batches: Iterable[Tensor], config: QuantizationConfig
) -> nn.Module:
    """Have the layers that ``config`` quantizes round, in place, until ``stop_rounding``.

    The grids of inputs follow from ``batches``, float32[N, C, H, W], by the job's observers. Raises
    InputError where the job quantizes no layer, or an input is not finite.
    """
    incoming = iter(batches)
    first = list(itertools.islice(incoming, 1))
    order = execution_order(model, first[0][:1]) if first else None
    selection = Selection(model, config, order)
    layers = selection.quantized_layers(model, "finetune")
    observers = {name: activation_observer(selection.observer(name), config)() for name in layers}

    def watching(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def watch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            observers[name](inputs[0])

        return watch

    handles = [module.register_forward_pre_hook(watching(name)) for name, module in layers.items()]
    model.eval()
    for batch in itertools.chain(first, incoming):
        model(batch)
    for handle in handles:
        handle.remove()
    for name, module in layers.items():
        low, high = float(observers[name].min_val), float(observers[name].max_val)
        # Of a layer that is not called, such as an auxiliary head, the one is inf, the other -inf.
        if not math.isfinite(low + high) and not low > high:
            raise InputError(
                f"finetune: the input of {name} reached {low}..{high}, which is not finite: check "
                "model.weights and data.mean/data.std"
            )
        scale, _ = observers[name].calculate_qparams()
        module.add_module("rounded_input", RoundedInput(float(scale)))
        module.register_forward_pre_hook(_round_input)
        transposed = isinstance(
            module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
        )
        parametrize.register_parametrization(module, "weight", RoundedWeights(int(transposed)))
    return model


def _round_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # Taken off with the module it calls: a hook that finds none does nothing.
    rounding = module._modules.get("rounded_input")
    return inputs if rounding is None else (rounding(inputs[0]), *inputs[1:])


def stop_rounding(model: nn.Module) -> nn.Module:
    """The network as it was before ``simulate_rounding``, with the weights that it has now."""
    for module in list(model.modules()):
        if "rounded_input" in module._modules:
            del module.rounded_input
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    return model
