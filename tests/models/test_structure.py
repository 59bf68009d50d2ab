"""Which layers follow each other, in networks where it is known."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.quantization import mobilenet_v2

from schemas.errors import InputError
from tasks.models.resnet import ResNet
from tasks.models.structure import structure_of


def test_a_residual_network_has_a_pair_inside_each_block_and_none_across_them() -> None:
    structure = structure_of(ResNet((1, 1), (8, 16), 10, 1).eval(), "test")
    assert [(a.name, b.name) for a, b in structure.pairs] == [
        ("stages.0.0.conv1", "stages.0.0.conv2"),
        ("stages.1.0.conv1", "stages.1.0.conv2"),
    ]
    assert [x.name for x in structure.layers if x.norm is None] == ["fc"]
    assert len(structure.layers) == 7


def test_mobilenet_goes_through_its_depthwise_layers() -> None:
    network = mobilenet_v2(num_classes=10, quantize=False).eval()
    pairs = {(a.name, b.name) for a, b in structure_of(network, "test").pairs}
    assert ("features.2.conv.0.0", "features.2.conv.1.0") in pairs  # expand to depthwise
    assert ("features.2.conv.1.0", "features.2.conv.2") in pairs  # depthwise to project
    assert len(pairs) >= 34


def test_folded_weights_are_those_that_fusing_gives() -> None:
    torch.manual_seed(0)
    network = ResNet((1,), (8,), 10, 1)
    network(torch.randn(16, 1, 8, 8))
    network.eval()
    layer = structure_of(network, "test").layers[0]
    folded = layer.folded_weights().clone()
    network.fuse_model()
    assert torch.allclose(folded, network.conv1[0].weight, atol=1e-6)


def test_a_network_that_cannot_be_traced_is_refused_in_one_line() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(InputError, match="correction: the network cannot be traced"):
        structure_of(Branching(), "correction")
