"""Eager-mode quantization of real networks: one recipe from observers to INT8 kernels."""

import pytest
import torch
from torch import nn
from torch.ao.quantization import convert
from torchvision.models import resnet18 as plain_resnet18
from torchvision.models.quantization import mobilenet_v2, resnet18

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from tasks.models.eager import convert_with_table, prepare_for_calibration
from tasks.models.integer_modules import read_ranges
from tasks.models.quiet import quiet

CONFIG = QuantizationConfig()


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return resnet18(num_classes=10, quantize=False).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_table_through_json_gives_the_model_that_the_observers_give(
    network: nn.Module, images: torch.Tensor
) -> None:
    prepared = prepare_for_calibration(network, CONFIG)
    with torch.inference_mode():
        prepared(images)
    table = CalibrationTable(images=16, images_sha256="", tensors=read_ranges(prepared))
    read = CalibrationTable.model_validate_json(table.model_dump_json())
    with quiet():
        straight = convert(prepared)  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        assert torch.equal(convert_with_table(network, CONFIG, read)(images), straight(images))


def test_activations_are_symmetric_and_weights_stay_within_127(
    network: nn.Module, images: torch.Tensor
) -> None:
    prepared = prepare_for_calibration(network, CONFIG)
    with torch.inference_mode():
        prepared(images)
    ranges = read_ranges(prepared)
    assert {entry.zero_point for entry in ranges.values()} == {128}
    table = CalibrationTable(images=16, images_sha256="", tensors=ranges)
    int8 = convert_with_table(network, CONFIG, table)
    weights = [m.weight() for m in int8.modules() if hasattr(m, "weight") and callable(m.weight)]
    assert len(weights) == 21
    for weight in weights:
        assert weight.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
        assert int(weight.int_repr().abs().max()) <= 127


def test_the_given_network_is_left_as_it_was(network: nn.Module, images: torch.Tensor) -> None:
    with torch.inference_mode():
        before = network(images)
        prepare_for_calibration(network, CONFIG)
        assert torch.equal(network(images), before)


def test_a_network_without_stubs_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"no QuantStub or no fuse_model.*quantizable"):
        prepare_for_calibration(plain_resnet18(num_classes=10), CONFIG)


def test_activations_that_are_not_finite_are_named(network: nn.Module) -> None:
    prepared = prepare_for_calibration(network, QuantizationConfig(observer="minmax"))
    with torch.inference_mode():
        prepared(torch.full((2, 3, 32, 32), float("inf")))
    with pytest.raises(InputError, match=r"calibration: activation .* not finite"):
        read_ranges(prepared)


def test_an_add_that_is_never_called_needs_no_range() -> None:
    network = mobilenet_v2(num_classes=10, quantize=False).eval()
    prepared = prepare_for_calibration(network, CONFIG)
    with torch.inference_mode():
        prepared(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    ranges = read_ranges(prepared)
    added = [name for name in ranges if "skip_add" in name]
    assert len(added) == 10, "of 17 blocks, ten have a residual"
