"""Which of PyTorch's quantized kernels the INT8 network is evaluated with.

They differ in what they compute. Where the processor has no 8-bit dot product (VNNI), those of
FBGEMM and oneDNN add pairs of products in 16 bits, which saturate; FBGEMM's depthwise convolutions
do so wherever they run. TensorRT adds in 32 bits, so that such a network is a bad reference.
"""

import logging
from functools import cache

import torch
from torch import nn
from torch.ao.nn import quantized

from schemas.convert import QuantizationConfig
from tasks.models.quiet import quiet

PREFERRED = ("x86", "onednn", "qnnpack")
"""Fastest first."""

GROUPS = 128
"""With VNNI, PyTorch's ``x86`` takes oneDNN's kernels up to 100 groups and FBGEMM's above."""

log = logging.getLogger("enginesmith")


def use_kernels(model: nn.Module, config: QuantizationConfig) -> None:
    """Make PyTorch quantize and compute with the kernels that the job asks for.

    ``auto`` is the first of ``PREFERRED`` whose convolutions and products are exact here.
    """
    kernels: str = config.kernels
    if kernels == "auto":
        grouped = any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in model.modules())
        kernels = _exact_kernels(grouped)
    torch.backends.quantized.engine = kernels


def mend_clamps(int8: nn.Module) -> None:
    """Give the clamps of an INT8 network, in place, their images in the order that they write.

    QNNPACK's clamp of a channels-last tensor writes it in that order and calls it contiguous, which
    shuffles the values (seen in PyTorch 2.15).
    """
    if torch.backends.quantized.engine == "qnnpack":
        for module in int8.modules():
            if isinstance(module, (nn.Hardtanh, quantized.ReLU6)):
                module.register_forward_pre_hook(lambda _, images: (images[0].contiguous(),))


@cache
def _exact_kernels(grouped: bool) -> str:
    available = [k for k in PREFERRED if k in torch.backends.quantized.supported_engines]
    for kernels in available:
        if sums_are_exact(kernels, grouped=grouped):
            log.info("PyTorch's INT8 network computes with %s kernels", kernels)
            return kernels
    return available[-1]


def sums_are_exact(kernels: str, *, grouped: bool) -> bool:
    """Whether the largest sums of uint8 by int8 products come out right on this processor."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = kernels
    try:
        with quiet():
            shares = [_share_of_largest_linear(64), _share_of_largest_conv(64, 1)]
            if grouped:
                shares.append(_share_of_largest_conv(GROUPS, GROUPS))
            return shares == [255] * len(shares)
    finally:
        torch.backends.quantized.engine = before


def _share_of_largest_linear(features: int) -> int:
    """255 of 255 where 255 * 127, summed over the features, does not saturate."""
    images = _largest_activations(1, features)
    packed = torch.ops.quantized.linear_prepack(_largest_weights(16, features), None)
    answer = torch.ops.quantized.linear(images, packed, 127.0 * features, 0)
    return int(answer.int_repr().min())


def _share_of_largest_conv(channels: int, groups: int) -> int:
    """The same of a 3x3 convolution, padded as FBGEMM's own kernels for depthwise ones ask for."""
    images = _largest_activations(1, channels, 3, 3)
    weights = _largest_weights(channels, channels // groups, 3, 3)
    packed = torch.ops.quantized.conv2d_prepack(weights, None, [1, 1], [1, 1], [1, 1], groups)
    answer = torch.ops.quantized.conv2d(images, packed, 127.0 * 9 * channels / groups, 0)
    return int(answer.int_repr()[:, :, 1, 1].min())


def _largest_activations(*shape: int) -> torch.Tensor:
    return torch.quantize_per_tensor(torch.full(shape, 255.0), 1.0, 0, torch.quint8)


def _largest_weights(*shape: int) -> torch.Tensor:
    scales, zeros = torch.ones(shape[0]), torch.zeros(shape[0], dtype=torch.long)
    return torch.quantize_per_channel(torch.full(shape, 127.0), scales, zeros, 0, torch.qint8)
