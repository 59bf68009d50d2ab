"""Corrected biases bring a quantized network's means back to the FP32 network's."""

import copy

import pytest
import torch
from torch import Tensor, nn

from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from tasks.correct.correct import correct_biases
from tasks.models.observers import weight_observer
from tasks.models.resnet import ResNet
from tasks.models.structure import structure_of
from tests.models.prepare.networks import SHAPE, HeadFirst

CONFIG = QuantizationConfig(mode="eager")
IMAGES = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.5


@pytest.fixture
def network() -> nn.Module:
    """Few levels for most weights: one weight of each channel takes the range."""
    torch.manual_seed(0)
    made = ResNet((1,), (8,), 10, 1)
    with torch.no_grad():
        for layer in structure_of(made.eval(), "test").layers:
            layer.module.weight.flatten(1)[:, 0] *= 30
    made.train()
    with torch.no_grad():
        made(IMAGES)
    return made.eval()


def round_weights(network: nn.Module, only: str | None = None) -> nn.Module:
    """The network with every weight on the INT8 grid of the folded layer, or of one layer only."""
    rounded = copy.deepcopy(network)
    for layer in structure_of(rounded, "test").layers:
        if only not in (None, layer.name):
            continue
        folded = layer.folded_weights()
        observer = weight_observer(CONFIG)()
        observer(folded)
        scale = observer.calculate_qparams()[0].view(-1, *[1] * (folded.ndim - 1))
        factor = torch.where(folded == 0, torch.ones_like(folded), layer.module.weight / folded)
        with torch.no_grad():
            layer.module.weight.copy_((folded / scale).round().clamp(-127, 127) * scale * factor)
    return rounded


def mean_output(network: nn.Module, name: str, norm: str | None) -> Tensor:
    seen = []
    module = network.get_submodule(norm or name)
    handle = module.register_forward_hook(lambda _m, _i, output: seen.append(output))
    with torch.no_grad():
        network(IMAGES)
    handle.remove()
    return seen[0].transpose(0, 1).flatten(1).mean(1)


@pytest.mark.parametrize(
    ("name", "norm"), [("conv1", "bn1"), ("stages.0.0.conv2", "stages.0.0.bn2"), ("fc", None)]
)
def test_a_corrected_layer_has_its_fp32_mean_again(
    network: nn.Module, name: str, norm: str | None
) -> None:
    config = CONFIG.model_copy(update={"include": (name,)})
    corrected = copy.deepcopy(network)
    correct_biases(corrected, IMAGES.split(8), config)
    wanted = mean_output(network, name, norm)
    off = (mean_output(round_weights(network, name), name, norm) - wanted).abs().max()
    left = (mean_output(round_weights(corrected, name), name, norm) - wanted).abs().max()
    assert off > 1e-4
    assert left < 0.01 * off


def test_the_summary_says_what_was_shifted(network: nn.Module) -> None:
    before = copy.deepcopy(network.state_dict())
    summary = correct_biases(network, IMAGES.split(8), CONFIG)
    assert summary.images == 32
    assert {layer.name for layer in summary.layers} == {
        "conv1",
        "stages.0.0.conv1",
        "stages.0.0.conv2",
        "fc",
    }
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"bn1.bias", "stages.0.0.bn1.bias", "stages.0.0.bn2.bias", "fc.bias"}


def test_layers_in_float_and_layers_without_a_bias_are_left_alone(network: nn.Module) -> None:
    config = CONFIG.model_copy(update={"exclude": ("stages",)})
    summary = correct_biases(network, IMAGES.split(8), config)
    assert {layer.name for layer in summary.layers} == {"conv1", "fc"}
    plain = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.ReLU()).eval()
    assert correct_biases(plain, IMAGES.split(8), CONFIG).left_alone == ("0",)


def test_a_last_layer_in_float_is_the_one_that_runs_last() -> None:
    config = CONFIG.model_copy(update={"last_layer": "float"})
    summary = correct_biases(HeadFirst().eval(), [torch.rand(4, *SHAPE)], config)
    assert [x.name for x in summary.layers] == ["conv1", "conv2"]
    assert summary.images == 4


def test_without_images_there_is_nothing_to_correct_by(network: nn.Module) -> None:
    with pytest.raises(InputError, match="there are no images"):
        correct_biases(network, [], CONFIG)
