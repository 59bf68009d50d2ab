"""PyTorch's INT8 network computes with kernels that are right on this processor."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18

from schemas.convert import QuantizationConfig
from tasks.calibrate.observe import observe
from tasks.models.choose import example_of
from tasks.models.eager import EagerQuantizer
from tasks.models.fx import FxQuantizer
from tasks.models.kernels import PREFERRED, sums_are_exact, use_kernels
from tasks.models.quantizer import Quantizer

CONFIG = QuantizationConfig(mode="eager", observer="minmax")
SHAPE = (3, 32, 32)


@pytest.mark.parametrize(("network", "grouped"), [(resnet18, False), (mobilenet_v2, True)])
def test_auto_takes_the_first_kernels_whose_sums_are_exact(network: type, grouped: bool) -> None:
    use_kernels(network(), CONFIG)
    chosen = torch.backends.quantized.engine
    assert sums_are_exact(chosen, grouped=grouped)
    before = PREFERRED[: PREFERRED.index(chosen)]
    assert not any(sums_are_exact(kernels, grouped=grouped) for kernels in before)


@pytest.mark.parametrize("groups", [16, 96, 104, 960])
def test_depthwise_sums_of_autos_kernels_are_exact_in_every_width(groups: int) -> None:
    """With VNNI ``x86`` is oneDNN up to 100 groups, then FBGEMM: MobileNetV2 lost 3.7 points."""
    use_kernels(mobilenet_v2(), CONFIG)
    images = torch.quantize_per_tensor(torch.full((1, groups, 3, 3), 255.0), 1.0, 0, torch.quint8)
    scales, zeros = torch.ones(groups), torch.zeros(groups, dtype=torch.long)
    largest = torch.full((groups, 1, 3, 3), 127.0)
    weights = torch.quantize_per_channel(largest, scales, zeros, 0, torch.qint8)
    packed = torch.ops.quantized.conv2d_prepack(weights, None, [1, 1], [1, 1], [1, 1], groups)
    answer = torch.ops.quantized.conv2d(images, packed, 127.0 * 9, 0)
    assert int(answer.int_repr()[:, :, 1, 1].min()) == 255


def test_fbgemm_saturates_in_depthwise_convolutions() -> None:
    """Why MobileNetV2 does not get x86: it loses points there that no engine loses."""
    assert not sums_are_exact("fbgemm", grouped=True)
    assert sums_are_exact("qnnpack", grouped=True)


class Clipped(nn.Module):
    """Two convolutions with ReLU6, so that the second's images lie as the first's kernel writes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.act = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.second(self.act(self.first(x)) * 1.0)).mean((2, 3))


@pytest.mark.parametrize("quantizer", [EagerQuantizer(), FxQuantizer()], ids=["eager", "fx"])
def test_clamps_of_qnnpack_keep_every_value_in_its_place(quantizer: Quantizer) -> None:
    torch.manual_seed(0)
    network, images = Clipped().eval(), 4 * torch.randn(16, *SHAPE)
    config = CONFIG.model_copy(update={"mode": quantizer.mode, "kernels": "qnnpack"})
    table = observe(network, [images], config, images_sha256="")
    int8 = quantizer.convert_with_table(network, config, table, example_of(SHAPE))
    with torch.inference_mode():
        expected, found = network(images), int8(images)
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()
