"""Every observer on tensors whose best range is known."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import HistogramObserver

from schemas.convert import QuantizationConfig, QuantizedMode
from schemas.errors import InputError
from tasks.calibrate.observe import observe
from tasks.models.observers import OBSERVERS, activation_observer, weight_observer
from tasks.models.thresholds import mse_threshold, percentile_threshold
from tests.models.prepare.networks import SHAPE

CLIPPING = ("percentile", "mse", "entropy")
HALF = 127.5
"""Steps of quint8 around 128 on each side."""


class Standardising(nn.Module):
    """Takes each image's mean off and divides by its standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)
        return self.fc(self.conv(x).relu().mean((2, 3)))


def gaussian_with_outlier() -> Tensor:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    x[0] = 60.0
    return x


def cut_of(observer: str, *batches: Tensor, **settings: object) -> float:
    """The largest magnitude on the grid that an observer chooses."""
    made = activation_observer(observer, QuantizationConfig(observer=observer, **settings))()
    for batch in batches:
        made(batch)
    scale, zero_point = made.calculate_qparams()
    assert int(zero_point) == 128
    return float(scale) * HALF


def error_of(x: Tensor, cut: float) -> float:
    scale = cut / HALF
    return float(((x / scale).round().clamp(-128, 127) * scale - x).square().mean())


@pytest.mark.parametrize("observer", CLIPPING)
def test_one_outlier_does_not_stretch_the_grid(observer: str) -> None:
    x = gaussian_with_outlier()
    assert cut_of("minmax", x) == pytest.approx(60, rel=0.01)
    assert cut_of(observer, x) < 60 * 0.8


def test_percentile_is_the_one_asked_for() -> None:
    x = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    assert cut_of("percentile", x, percentile=90.0) == pytest.approx(0.9, abs=0.01)
    assert cut_of("percentile", x, percentile=100.0) == pytest.approx(1.0, abs=0.001)


def test_mse_loses_less_than_every_other_cut() -> None:
    x = gaussian_with_outlier()
    ours = error_of(x, cut_of("mse", x))
    others = [error_of(x, float(cut)) for cut in np.linspace(1, 60, 60)]
    assert ours <= min(others) * 1.02


def test_entropy_keeps_a_uniform_tensor_whole() -> None:
    x = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    assert cut_of("entropy", x) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("observer", CLIPPING)
def test_batches_and_their_order_make_no_difference(observer: str) -> None:
    """The range doubles as larger values come, so that it is not the same as one big batch's."""
    x = gaussian_with_outlier()
    parts = list(x.split(10_000))
    assert cut_of(observer, *parts) == pytest.approx(cut_of(observer, *parts[::-1]), rel=0.05)


@pytest.mark.parametrize("observer", CLIPPING)
def test_memory_does_not_grow_with_images(observer: str) -> None:
    made = activation_observer(observer, QuantizationConfig(observer=observer))()

    def held() -> int:
        return sum(b.numel() * b.element_size() for b in made.buffers())

    made(torch.randn(1000))
    after_one = held()
    for _ in range(20):
        made(torch.randn(1000) * 3)
    assert held() == after_one
    assert made.counts.sum() == 21_000


@pytest.mark.parametrize("observer", list(OBSERVERS))
def test_a_constant_activation_has_a_grid_that_holds_it(observer: str) -> None:
    for value in (0.0, 2.5, -2.5):
        made = activation_observer(observer, QuantizationConfig(observer=observer))()
        made(torch.full((4, 8), value))
        scale, zero_point = made.calculate_qparams()
        assert float(scale) > 0
        step = torch.tensor(value / float(scale)).round().clamp(-128, 127)
        assert float(step * scale) == pytest.approx(value, rel=0.02, abs=1e-6)
        assert int(zero_point) == 128


@pytest.mark.parametrize("observer", list(OBSERVERS))
@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_values_that_are_not_finite_show_in_the_range(observer: str, value: str) -> None:
    made = activation_observer(observer, QuantizationConfig(observer=observer))()
    for batch in ([1.0, -2.0], [1.0, float(value)], [3.0, -2.0]):
        made(torch.tensor(batch))
    assert not torch.isfinite(made.max_val + made.min_val)


def test_the_histogram_is_pytorchs_own() -> None:
    batches = torch.randn(8, 1000, generator=torch.Generator().manual_seed(0)) ** 3
    theirs = HistogramObserver(dtype=torch.quint8, qscheme=torch.per_tensor_symmetric)
    for batch in batches:
        theirs(batch)
    assert cut_of("histogram", *batches) == float(theirs.calculate_qparams()[0]) * HALF


@pytest.mark.parametrize("mode", ["eager", "pt2e"])
def test_an_image_without_contrast_ends_a_calibration_in_one_line(mode: QuantizedMode) -> None:
    """Its standard deviation of 0 makes NaN of it, whatever the observer."""
    images = torch.randn(2, 8, *SHAPE, generator=torch.Generator().manual_seed(0))
    images[1, 3] = 0.5
    config = QuantizationConfig(mode=mode)
    with pytest.raises(InputError, match=r"reached nan\.\.nan, which is not finite"):
        observe(Standardising().eval(), images, config, images_sha256="")


def test_weights_by_mean_square_lose_less_in_every_channel() -> None:
    weights = torch.randn(8, 64, 3, 3, generator=torch.Generator().manual_seed(0)) ** 3
    losses = {}
    for name in ("minmax", "mse"):
        made = weight_observer(QuantizationConfig(weight_observer=name))()
        made(weights.clone())
        scale, zero_point = made.calculate_qparams()
        assert not zero_point.any()
        rows = weights.flatten(1) / scale[:, None]
        error = (rows.round().clamp(-127, 127) - rows) * scale[:, None]
        losses[name] = error.square().sum(1)
    assert (losses["mse"] <= losses["minmax"] * 1.0001).all()
    assert (losses["mse"] < losses["minmax"] * 0.99).any()


def test_thresholds_of_a_histogram_made_by_hand() -> None:
    counts = np.zeros(1000)
    counts[:100] = 10.0
    counts[999] = 1.0
    assert percentile_threshold(counts, 10.0, 99.0) == pytest.approx(1.0, abs=0.02)
    assert percentile_threshold(counts, 10.0, 100.0) == 10.0
    assert mse_threshold(counts, 10.0, 4) < 10.0


def test_an_observed_network_can_be_copied() -> None:
    made = activation_observer("mse", QuantizationConfig(observer="mse"))()
    made(torch.randn(100))
    again = copy.deepcopy(made)
    assert float(again.calculate_qparams()[0]) == float(made.calculate_qparams()[0])
