"""Equalized networks answer as before, and their ranges are even."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.quantization import mobilenet_v2

from schemas.equalize import EqualizationConfig
from schemas.errors import InputError
from tasks.equalize.equalize import equalize
from tasks.models.resnet import ResNet
from tasks.models.structure import structure_of


def lived_in(network: nn.Module, images: Tensor) -> nn.Module:
    """A network whose BatchNorm has statistics, and channels of very different ranges."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.05, 3.0)
            nn.init.normal_(module.bias, std=0.3)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(images)
    return network.eval()


def unevenness(network: nn.Module) -> float:
    """How far the two ranges of a channel are apart, mean over all, as a factor's logarithm."""
    apart = []
    for first, second in structure_of(network, "test").pairs:
        written = first.folded_weights().abs().amax((1, 2, 3))
        weights = second.folded_weights().abs()
        read = weights.amax((1, 2, 3) if second.groups > 1 else (0, 2, 3))
        alive = (written > 0) & (read > 0)
        apart.append((written[alive] / read[alive]).log().abs().mean())
    return float(torch.stack(apart).mean())


@pytest.mark.parametrize("name", ["resnet", "mobilenet_v2"])
def test_equalizing_evens_ranges_out_and_keeps_the_answers(name: str) -> None:
    if name == "resnet":
        images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        network = lived_in(ResNet((1, 1), (8, 16), 10, 1), images)
    else:
        images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        network = lived_in(mobilenet_v2(num_classes=10, quantize=False), images)
    even = copy.deepcopy(network)
    summary = equalize(even, EqualizationConfig())
    with torch.no_grad():
        before, after = network(images), even(images)
    assert float((after - before).abs().max() / before.abs().max()) < 1e-4
    assert unevenness(even) < 0.3 * unevenness(network)
    assert any(max(p.factor_high, 1 / p.factor_low) > 1.5 for p in summary.pairs)
    assert even.state_dict().keys() == network.state_dict().keys()


def test_layers_without_a_batchnorm_and_dead_channels() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2)).eval()
    with torch.no_grad():
        network[0].weight[1] = 0
        network[0].weight[2] *= 50
    images = torch.randn(4, 2, 8, 8)
    before = network(images)
    equalize(network, EqualizationConfig())
    assert torch.allclose(network(images), before, rtol=1e-4, atol=1e-4)
    assert torch.isfinite(network[2].weight).all()


def test_a_factor_is_bounded() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 1)).eval()
    with torch.no_grad():
        network[0].weight[0] = 1e6
    pair = equalize(network, EqualizationConfig(largest_factor=10.0)).pairs[0]
    assert pair.factor_high == pytest.approx(10.0)


def test_a_network_without_pairs_is_refused() -> None:
    with pytest.raises(InputError, match="leave equalization out of the job"):
        equalize(
            nn.Sequential(nn.Conv2d(1, 1, 1), nn.SiLU(), nn.Conv2d(1, 1, 1)), EqualizationConfig()
        )
