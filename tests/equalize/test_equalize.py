"""Equalized networks answer as before, and their ranges are even."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, weight_norm
from torchvision.models.quantization import mobilenet_v2

from schemas.equalize import EqualizationConfig
from schemas.errors import InputError
from schemas.model import ModelRef
from tasks.artifacts.store import ARTIFACTS_VARIABLE, Store
from tasks.equalize.equalize import equalize
from tasks.equalize.task import equalize as stage
from tasks.models.resnet import ResNet
from tasks.models.structure import structure_of
from tasks.models.weights import save_weights


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


def chain(kind: str) -> nn.Module:
    """Five convolutions of uneven weights, the first two in a way that leaves no pair there."""
    torch.manual_seed(0)

    def conv(inputs: int, outputs: int) -> nn.Conv2d:
        made = nn.Conv2d(inputs, outputs, 3, padding=1)
        with torch.no_grad():
            made.weight.mul_(torch.randn(outputs, 1, 1, 1).exp())
        return made

    norm = nn.BatchNorm2d(8)
    norms = {
        "a BatchNorm of two": (norm, norm),
        "no weight": [nn.BatchNorm2d(8, affine=False) for _ in range(2)],
        "no statistics": [nn.BatchNorm2d(8, track_running_stats=False) for _ in range(2)],
    }.get(kind, (nn.Identity(), nn.Identity()))
    first, second, third = conv(1, 8), conv(8, 8), conv(8, 8)
    if kind == "tied":
        third.weight = second.weight
    compute = {
        "weight_norm": weight_norm,
        "parametrized weight_norm": parametrizations.weight_norm,
        "parametrized spectral_norm": parametrizations.spectral_norm,
    }.get(kind, lambda module: module)
    return nn.Sequential(
        *(first, norms[0], nn.ReLU(), compute(second), norms[1], nn.ReLU(), third, nn.ReLU()),
        *(conv(8, 8), nn.ReLU(), conv(8, 4)),
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the old weight_norm's
@pytest.mark.parametrize(
    "kind",
    [
        *("a BatchNorm of two", "no weight", "no statistics", "tied"),
        *("weight_norm", "parametrized weight_norm", "parametrized spectral_norm"),
    ],
)
def test_weights_that_more_than_one_pair_depends_on_are_left_alone(kind: str) -> None:
    images = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    network = chain(kind)
    with torch.no_grad():
        network(images)
        before = network.eval()(images)
    summary = equalize(network, EqualizationConfig())
    assert ("8", "10") in [(pair.first, pair.second) for pair in summary.pairs]
    loaded = chain(kind).eval()
    loaded.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert float((loaded(images) - before).abs().max() / before.abs().max()) < 1e-4


class ReadsWeights(nn.Module):
    """Adds to its answers what it computes from a layer's weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(torch.relu(self.first(x))).mean((2, 3))
        return x + self.second.weight.abs().sum((1, 2, 3))


def test_the_stage_refuses_a_network_whose_answers_would_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ARTIFACTS_VARIABLE, str(tmp_path / "artifacts"))
    save_weights(ReadsWeights(), tmp_path / "weights.safetensors")
    store = Store(tmp_path / "artifacts")
    model = ModelRef(
        factory="tests.equalize.test_equalize:ReadsWeights",
        kwargs={},
        source_sha256="0" * 64,
        weights=store.put_file("checkpoint", tmp_path / "weights.safetensors"),
    )
    with pytest.raises(InputError, match="equalization: it moves the network's answers by"):
        stage.fn(model, EqualizationConfig(), (1, 8, 8))
