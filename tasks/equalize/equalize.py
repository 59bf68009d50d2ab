"""Cross-layer equalization.

ReLU commutes with a positive factor: dividing a layer's output channel by s and multiplying what
the next layer reads of it by s leaves the network's answers alone, and moves range from where
there is too much to where there is too little.

Source: Nagel, van Baalen, Blankevoort, Welling, "Data-free quantization through weight equalization
and bias correction" (arXiv:1906.04721), section 4.1.
"""

import torch
from torch import Tensor, nn

from schemas.equalize import EqualizationConfig, EqualizationSummary, EqualizedPair
from schemas.errors import InputError
from tasks.models.structure import Layer, structure_of

SETTLED = 1e-3
"""Another round is not worth it once no factor is further from 1 than this."""
ROUNDING = 1e-3
"""Answers that moved by less, in parts of the largest, moved by float32's rounding."""


@torch.no_grad()
def equalize(model: nn.Module, config: EqualizationConfig) -> EqualizationSummary:
    """Equalize the pairs of a network in evaluation mode, in place.

    Factors go into BatchNorm where the first layer has one, so that the network keeps its parts.
    Raises InputError where the network cannot be traced, or has no pair.
    """
    pairs = structure_of(model, "equalization").pairs
    if not pairs:
        raise InputError(
            "equalization: the network has no two convolutions with weights of their own and only "
            "a ReLU between them: leave equalization out of the job"
        )
    totals = [torch.ones(len(first.folded_weights())) for first, _ in pairs]
    rounds = 0
    for _ in range(config.rounds):
        rounds += 1
        furthest = 0.0
        for index, (first, second) in enumerate(pairs):
            factors = _factors(first, second)
            limit = torch.full_like(factors, config.largest_factor)
            factors = (totals[index] * factors).clamp(1 / limit, limit) / totals[index]
            _divide(first, factors)
            _multiply(second, factors)
            totals[index] *= factors
            furthest = max(furthest, float((factors - 1).abs().max()))
        if furthest < SETTLED:
            break
    return EqualizationSummary(
        pairs=tuple(
            EqualizedPair(
                first=first.name,
                second=second.name,
                factor_low=float(total.min()),
                factor_high=float(total.max()),
            )
            for (first, second), total in zip(pairs, totals, strict=True)
        ),
        rounds=rounds,
    )


@torch.no_grad()
def check_answers(before: nn.Module, after: nn.Module, input_shape: tuple[int, int, int]) -> None:
    """Hold an equalized network against what it was, on random images of (C, H, W).

    Raises InputError where it answers otherwise: a symbolic trace does not see hooks, nor all that
    a network computes from its weights.
    """
    images = torch.randn(8, *input_shape, generator=torch.Generator().manual_seed(0))
    wanted = before(images)
    moved, largest = float((after(images) - wanted).abs().max()), float(wanted.abs().max())
    if not moved <= ROUNDING * largest:
        raise InputError(
            f"equalization: it moves the network's answers by {moved:.2g} where the largest is "
            f"{largest:.2g}, as more than the next layer depends on some weights: leave "
            "equalization out of the job"
        )


def _factors(first: Layer, second: Layer) -> Tensor:
    """float32[C]: what brings both layers' range of each channel between them to their mean."""
    written = first.folded_weights().abs().amax((1, 2, 3))
    read = _by_input(second, second.folded_weights().abs())
    factors = torch.sqrt(written / read)
    # A channel that is never written or never read has no range to move.
    dead = (written <= 0) | (read <= 0)
    return torch.where(dead, torch.ones_like(factors), factors)


def _by_input(layer: Layer, magnitudes: Tensor) -> Tensor:
    """The largest of a convolution's ``[O, I/groups, h, w]`` for each input channel."""
    groups = layer.groups
    split = magnitudes.amax((2, 3)).view(groups, -1, magnitudes.shape[1])
    return split.amax(1).flatten()


def _divide(layer: Layer, factors: Tensor) -> None:
    for tensor in layer.outgoing:
        tensor.div_(factors.view(-1, *[1] * (tensor.ndim - 1)))


def _multiply(layer: Layer, factors: Tensor) -> None:
    weights = layer.module.weight
    groups = layer.groups
    per_group = factors.view(groups, 1, weights.shape[1], 1, 1)
    weights.view(groups, -1, *weights.shape[1:]).mul_(per_group)
