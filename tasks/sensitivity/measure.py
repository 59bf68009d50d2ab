"""Each layer's sensitivity: what quantizing it alone does to the network's answers.

A layer's weights and its input are rounded as it runs, with the job's own observers, while all the
others stay in float. That costs one pass over the images a layer, and no conversion.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from schemas.convert import QuantizationConfig
from schemas.sensitivity import LayerSensitivity, Sensitivity
from tasks.models.observers import activation_observer, weight_observer
from tasks.models.prepare.reach import execution_order
from tasks.models.selection import Selection
from tasks.progress import track

LOUDEST_DB = 120.0
KINDS = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "Linear")


@torch.no_grad()
def measure_sensitivity(
    model: nn.Module, batches: Sequence[Tensor], config: QuantizationConfig
) -> Sensitivity:
    """The layers that ``config`` quantizes, most sensitive first.

    ``model`` is the FP32 network in evaluation mode, ``batches`` are float32[N, C, H, W]. Raises
    InputError where the job quantizes no layer.
    """
    selection = Selection(model, config, execution_order(model, batches[0][:1]))
    layers = selection.quantized_layers(model, "mixed_precision")
    wanted = [model(batch) for batch in batches]
    signal = sum(float(x.double().square().sum()) for x in wanted)
    found = []
    for name, module in track(layers.items(), "sensitivity", len(layers)):
        noise = _noise(model, module, name, batches, wanted, selection, config)
        found.append(
            LayerSensitivity(
                name=name,
                kind=type(module).__name__ if type(module).__name__ in KINDS else "other",
                parameters=sum(p.numel() for p in module.parameters()),
                logits_db=_db(signal, noise),
            )
        )
    return Sensitivity(
        images=sum(len(batch) for batch in batches),
        layers=tuple(sorted(found, key=lambda x: x.logits_db)),
    )


def _noise(
    model: nn.Module,
    module: nn.Module,
    name: str,
    batches: Sequence[Tensor],
    wanted: Sequence[Tensor],
    selection: Selection,
    config: QuantizationConfig,
) -> float:
    """The power of what the logits change by with one layer quantized."""
    observer = activation_observer(selection.observer(name), config)()
    _run(model, module, batches, lambda x: observer(x))
    scale, zero_point = observer.calculate_qparams()

    def rounded(x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(
            x, float(scale), int(zero_point), observer.quant_min, observer.quant_max
        )

    weights = module.weight
    assert isinstance(weights, nn.Parameter)
    before = weights.detach().clone()
    weights.copy_(_rounded_weights(before, config))
    try:
        answers = _run(model, module, batches, rounded)
    finally:
        weights.copy_(before)
    return sum(
        float((answer - right).double().square().sum())
        for answer, right in zip(answers, wanted, strict=True)
    )


def _rounded_weights(weights: Tensor, config: QuantizationConfig) -> Tensor:
    observer = weight_observer(config)()
    observer(weights)
    scale, zero_point = observer.calculate_qparams()
    return torch.fake_quantize_per_channel_affine(
        weights, scale, zero_point.to(torch.int32), 0, -127, 127
    )


def _run(
    model: nn.Module,
    module: nn.Module,
    batches: Sequence[Tensor],
    change: Callable[[Tensor], Tensor],
) -> list[Tensor]:
    """The logits of every batch, with one layer's input changed on its way in."""
    handle = module.register_forward_pre_hook(lambda _, inputs: (change(inputs[0]), *inputs[1:]))
    try:
        return [model(batch) for batch in batches]
    finally:
        handle.remove()


def _db(signal: float, noise: float) -> float:
    if noise <= signal * 10 ** (-LOUDEST_DB / 10):
        return LOUDEST_DB
    return 10 * math.log10(signal / noise) if signal > 0 else -LOUDEST_DB
