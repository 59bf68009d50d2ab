"""Calibrations with something wrong, and when more images are not needed."""

import numpy as np
import pytest
import torch
from torch import nn

from schemas.calibrate import (
    AccuracyCheck,
    CalibrationConfig,
    CalibrationQuality,
    CalibrationTable,
    TensorRange,
)
from schemas.convert import QuantizationConfig, QuantizedMode
from tasks.calibrate.answers import compare_answers
from tasks.calibrate.convergence import Convergence, Look
from tasks.calibrate.observe import observe
from tasks.calibrate.quality import assess, saturation
from tasks.models.choose import example_of
from tasks.models.quantizer import quantizer
from tasks.models.resnet import ResNet

MINMAX = QuantizationConfig(mode="eager", observer="minmax")
IMAGES = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return ResNet((1,), (8,), num_classes=10, in_channels=1).eval()


def judged(
    table: CalibrationTable,
    labels: list[int],
    saturated: dict[str, float] | None = None,
    convergence: Convergence | None = None,
    accuracy: AccuracyCheck | None = None,
) -> CalibrationQuality:
    config = CalibrationConfig()
    return assess(
        table,
        saturated or {},
        64,
        accuracy,
        np.array(labels),
        ("cat", "dog", "ship"),
        0,
        convergence.checks if convergence else [],
        convergence.converged if convergence else None,
        config,
    )


def table_of(**ranges: tuple[float, float, float]) -> CalibrationTable:
    return CalibrationTable(
        images=64,
        images_sha256="",
        tensors={
            name: TensorRange(minimum=low, maximum=high, scale=scale, zero_point=128)
            for name, (low, high, scale) in ranges.items()
        },
    )


FITTING = table_of(relu=(0.0, 1.27, 0.01))


def test_a_good_calibration_has_no_warning() -> None:
    quality = judged(FITTING, [0, 1, 2])
    assert quality.warnings == ()
    assert quality.images_by_class == {"cat": 1, "dog": 1, "ship": 1}
    assert quality.tensors[0].unused == pytest.approx(0)


def test_images_of_one_class_are_one_warning() -> None:
    (warning,) = judged(FITTING, [1, 1, 1]).warnings
    assert "all calibration images are of one class, dog" in warning


def test_a_class_without_images_is_named() -> None:
    (warning,) = judged(FITTING, [0, 2, 2]).warnings
    assert "1 of 3 classes have no calibration image (dog)" in warning


def test_constant_activations_are_one_warning_with_names() -> None:
    table = table_of(a=(0.0, 0.0, 1e-7), b=(0.0, 0.0, 1e-7), c=(0.0, 1.0, 0.01))
    (warning,) = judged(table, [0, 1, 2]).warnings
    assert "2 activations never changed over all images (a, b)" in warning


def test_a_grid_wider_than_what_was_seen_is_partly_unused() -> None:
    assert judged(table_of(x=(-0.3, 0.635, 0.01)), [0, 1, 2]).tensors[0].unused == 0.5


@pytest.mark.parametrize("mode", ["eager", "fx", "pt2e"])
def test_saturation_is_counted_on_the_network_itself(
    network: nn.Module, mode: QuantizedMode
) -> None:
    """Half the grid that minmax chose: what lies beyond is then known from the inputs."""
    config = MINMAX.model_copy(update={"mode": mode})
    chosen, example = quantizer(mode), example_of((1, 8, 8))
    table = observe(network, [IMAGES], config, images_sha256="")
    whole = saturation(chosen.prepare(network, config, example), [IMAGES], table, mode)
    assert len(whole) == len(table.tensors) > 3
    assert max(whole.values()) < 1e-3
    # What the network reads is the first that is observed.
    name = next(iter(table.tensors))
    halves = {
        name: entry.model_copy(update={"scale": entry.scale / 2})
        for name, entry in table.tensors.items()
    }
    halved = table.model_copy(update={"tensors": halves})
    counted = saturation(chosen.prepare(network, config, example), [IMAGES], halved, mode)
    expected = float((127.5 * halves[name].scale < IMAGES).float().mean())
    assert counted[name] == pytest.approx(expected)
    assert expected > 0.4
    assert min(counted.values()) > 0
    quality = judged(halved, [0, 1, 2], counted)
    worst = max(counted, key=lambda tensor: counted[tensor])
    assert any(f"{worst} with {counted[worst]:.1%}" in w for w in quality.warnings)


@pytest.mark.parametrize("mode", ["eager", "fx", "pt2e"])
def test_answers_that_more_images_change_are_counted_and_said(
    network: nn.Module, mode: QuantizedMode
) -> None:
    """Half as many images saw a tenth of the range, and answer what FP32 does not."""
    with torch.no_grad():
        network.train()(IMAGES)
        # Untrained, it would answer every image with one class.
        network.eval().fc.bias.sub_(network(IMAGES).mean(0))
        labels = network(IMAGES).argmax(1).numpy()
    config = MINMAX.model_copy(update={"mode": mode})
    chosen, example = quantizer(mode), example_of((1, 8, 8))
    table = observe(network, [IMAGES], config, images_sha256="")
    narrow = {
        name: entry.model_copy(update={"scale": entry.scale / 10})
        for name, entry in table.tensors.items()
    }
    prepared = chosen.prepare(network, config, example)
    parts = IMAGES.split(48)
    check = compare_answers(prepared, parts, labels, Look(32, narrow), table, mode)
    assert (check.answered, check.fewer_images) == (64, 32)
    assert check.top1 > 0.7 > 0.4 > check.top1_before
    assert check.top1 - check.top1_before == (check.to_right - check.to_wrong) / 64
    (warning,) = judged(table, [0, 1, 2], accuracy=check).warnings
    assert f"the scales of 64 images, against those of 32, turn {check.to_wrong} wrong" in warning
    same = compare_answers(prepared, parts, labels, Look(32, table.tensors), table, mode)
    assert (same.to_wrong, same.to_right) == (0, 0)
    assert judged(table, [0, 1, 2], accuracy=same).warnings == ()
    # Nothing is left on the network: it answers as FP32 does.
    with torch.no_grad():
        assert (prepared(IMAGES).argmax(1).numpy() == labels).all()


@pytest.mark.parametrize(
    ("wrong", "right", "said"), [(0, 5, 0), (0, 6, 1), (20, 8, 1), (20, 10, 0)]
)
def test_answers_that_may_have_changed_by_chance_are_no_warning(
    wrong: int, right: int, said: int
) -> None:
    check = AccuracyCheck(
        answered=512, fewer_images=256, top1_before=0.9, top1=0.9, to_wrong=wrong, to_right=right
    )
    assert len(judged(FITTING, [0, 1, 2], accuracy=check).warnings) == said


def batches(*peaks: float) -> list[torch.Tensor]:
    """Batches of 16 images with the same values below each batch's own peak."""
    made = []
    for peak in peaks:
        batch = IMAGES[:16].clone()
        batch[0, 0, 0, 0] = peak
        made.append(batch)
    return made


def run(network: nn.Module, config: CalibrationConfig, *peaks: float) -> tuple[int, Convergence]:
    convergence = Convergence(config)
    table = observe(network, batches(*peaks), MINMAX, images_sha256="", convergence=convergence)
    return table.images, convergence


def test_calibration_stops_once_the_scales_have_settled(network: nn.Module) -> None:
    config = CalibrationConfig(images=32, until="converged", max_images=128)
    used, convergence = run(network, config, *[1.0] * 8)
    assert used == 32
    assert convergence.converged


def test_calibration_goes_on_while_the_scales_move(network: nn.Module) -> None:
    config = CalibrationConfig(images=32, until="converged", max_images=128)
    used, convergence = run(network, config, 1, 10, 100, 100, 100, 100, 100, 100)
    assert used == 128
    assert [check.images for check in convergence.checks] == [32, 64, 128]
    assert convergence.checks[0].settled < 0.9
    assert convergence.converged


def test_a_number_of_images_is_kept_to_and_what_moves_is_said(network: nn.Module) -> None:
    used, convergence = run(network, CalibrationConfig(images=64), 1, 1, 50, 50)
    assert used == 64
    assert convergence.converged is False
    (warning,) = judged(FITTING, [0, 1, 2], convergence=convergence).warnings
    assert "the scales have not settled: over the last doubling to 64 images" in warning
    assert "calibration.until: converged" in warning


def test_looking_on_does_not_change_the_scales(network: nn.Module) -> None:
    for observer in ("histogram", "moving_average", "entropy"):
        config = MINMAX.model_copy(update={"observer": observer})
        parts = batches(1, 2, 3, 4)
        convergence = Convergence(CalibrationConfig(images=64))
        watched = observe(network, parts, config, images_sha256="", convergence=convergence)
        assert watched == observe(network, parts, config, images_sha256="")
