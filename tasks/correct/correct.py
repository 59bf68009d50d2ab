"""Bias correction.

Rounding a layer's weights shifts the mean of its output: a channel has few weights, and their
rounding errors do not average out. The shift follows from the mean of the layer's inputs, since
convolution is linear, and is taken off the bias.

Source: Nagel, van Baalen, Blankevoort, Welling, "Data-free quantization through weight equalization
and bias correction" (arXiv:1906.04721), section 4.2; input means measured on calibration images, as
its appendix D does.
"""

import itertools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from schemas.convert import QuantizationConfig
from schemas.correct import CorrectedLayer, CorrectionSummary
from schemas.errors import InputError
from tasks.models.observers import weight_observer
from tasks.models.prepare.reach import execution_order
from tasks.models.selection import Selection
from tasks.models.structure import Layer, structure_of


@torch.no_grad()
def correct_biases(
    model: nn.Module, batches: Iterable[Tensor], config: QuantizationConfig
) -> CorrectionSummary:
    """Correct the biases of the layers that ``config`` quantizes, in place.

    ``batches`` are float32[N, C, H, W]. The network is then right once its weights are rounded, and
    not before. Raises InputError where the network cannot be traced, or there are no images.
    """
    incoming = iter(batches)
    first = next(incoming, None)
    if first is None:
        raise InputError("correction: there are no images: check calibration.images and data")
    selection = Selection(model, config, execution_order(model, first[:1]))
    layers = [
        layer
        for layer in structure_of(model, "correction").layers
        if selection.why_float(layer.name) is None
    ]
    means, images = _input_means(model, layers, itertools.chain([first], incoming))
    corrected, left_alone = [], []
    for layer in layers:
        if layer.bias is None:
            left_alone.append(layer.name)
            continue
        shift = _shift(layer, means[layer.name], config)
        layer.bias.sub_(shift)
        corrected.append(
            CorrectedLayer(
                name=layer.name,
                channels=len(shift),
                largest_shift=float(shift.abs().max()),
                mean_shift=float(shift.abs().mean()),
            )
        )
    return CorrectionSummary(images=images, layers=tuple(corrected), left_alone=tuple(left_alone))


def _input_means(
    model: nn.Module, layers: list[Layer], batches: Iterable[Tensor]
) -> tuple[dict[str, Tensor], int]:
    """The mean input of each layer over all images, float32[1, ...], and their number."""
    sums: dict[str, Tensor] = {}

    def adding(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            total = inputs[0].detach().double().sum(0, keepdim=True)
            sums[name] = sums[name] + total if name in sums else total

        return add

    handles = [x.module.register_forward_pre_hook(adding(x.name)) for x in layers]
    images = 0
    try:
        for batch in batches:
            model(batch)
            images += len(batch)
    finally:
        for handle in handles:
            handle.remove()
    return {name: (total / images).float() for name, total in sums.items()}, images


def _shift(layer: Layer, mean_input: Tensor, config: QuantizationConfig) -> Tensor:
    """What rounding the weights adds to each output channel's mean: float32[channels]."""
    weights = layer.folded_weights()
    observer = weight_observer(config)()
    observer(weights)
    scale, zero_point = observer.calculate_qparams()
    rounded = torch.fake_quantize_per_channel_affine(
        weights, scale, zero_point.to(torch.int32), 0, -127, 127
    )
    error = rounded - weights
    module = layer.module
    if isinstance(module, nn.Linear):
        # Over whatever lies between batch and features, such as tokens.
        return nn.functional.linear(mean_input, error).flatten(0, -2).mean(0)
    # Through the module's own padding, whatever its mode.
    moved: Tensor = module._conv_forward(mean_input, error, None)
    return moved.mean((0, 2, 3))
