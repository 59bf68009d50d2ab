"""Sensitivity on networks where it is known, and the search for the fewest float layers."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from schemas.evaluate import Accuracy
from schemas.sensitivity import Assignment, LayerSensitivity, Sensitivity
from tasks.evaluate.intervals import drop_interval
from tasks.models.resnet import ResNet
from tasks.sensitivity.measure import measure_sensitivity
from tasks.sensitivity.search import fewest, report_of
from tests.models.prepare.networks import SHAPE, HeadFirst

CONFIG = QuantizationConfig(mode="eager", observer="minmax")
IMAGES = torch.rand(16, 1, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    made = ResNet((1, 1), (8, 16), 10, 1)
    made.train()
    with torch.no_grad():
        made(IMAGES)
    return made.eval()


def test_the_layer_whose_weights_have_an_outlier_is_the_most_sensitive(network: nn.Module) -> None:
    with torch.no_grad():
        network.stages[1][0].conv2.weight.flatten(1)[:, 0] = 40.0
    found = measure_sensitivity(network, IMAGES.split(8), CONFIG)
    assert found.images == 16
    assert found.layers[0].name == "stages.1.0.conv2"
    assert len(found.layers) == 7
    assert [x.logits_db for x in found.layers] == sorted(x.logits_db for x in found.layers)
    assert found.layers[0].logits_db < found.layers[1].logits_db - 6


def test_measuring_leaves_the_network_as_it_was(network: nn.Module) -> None:
    before = copy.deepcopy(network.state_dict())
    wanted = network(IMAGES)
    measure_sensitivity(network, [IMAGES], CONFIG)
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(network(IMAGES), wanted)


def test_layers_in_float_are_not_measured(network: nn.Module) -> None:
    config = CONFIG.model_copy(update={"exclude": ("stages",)})
    found = measure_sensitivity(network, [IMAGES], config)
    assert {x.name for x in found.layers} == {"conv1", "fc"}
    with pytest.raises(InputError, match="quantizes no layer"):
        measure_sensitivity(network, [IMAGES], CONFIG.model_copy(update={"exclude": ("*",)}))


def test_a_last_layer_in_float_is_the_one_that_runs_last() -> None:
    config = CONFIG.model_copy(update={"last_layer": "float"})
    found = measure_sensitivity(HeadFirst().eval(), [torch.rand(4, *SHAPE)], config)
    assert {x.name for x in found.layers} == {"conv1", "conv2"}


@pytest.mark.parametrize("answer", [0, 1, 2, 3, 7, 12, 13, 50])
def test_the_fewest_are_found_without_trying_all(answer: int) -> None:
    asked: list[int] = []

    def holds(count: int) -> bool:
        asked.append(count)
        return count >= answer

    assert fewest(holds, 50) == answer
    assert len(asked) == len(set(asked)) <= 13
    assert answer == 0 or answer - 1 in asked


def test_a_bound_that_nothing_reaches() -> None:
    asked: list[int] = []
    assert fewest(lambda count: bool(asked.append(count)), 5) is None
    assert asked == [0, 1, 2, 4, 5]


def assignment(layers: int, lost: int, ms: float | None) -> Assignment:
    low, high = drop_interval(lost, 0, 1000)
    figures: dict[str, Any] = {
        "name": "openvino int8",
        "images": 1000,
        "top1": 0.9 - lost / 1000,
        "top5": None,
        "flips": lost,
        "flips_to_wrong": lost,
        "flips_to_right": 0,
        "logit_rmse": 0.0,
        "drop_points": lost / 10,
        "drop_low": low,
        "drop_high": high,
        "p_value": 1.0,
    }
    return Assignment(
        float_layers=tuple(f"layer{i}" for i in range(layers)),
        accuracy=Accuracy(**figures),
        within=lost / 10 <= 0.5,
        median_ms=ms,
        on_front=False,
    )


MEASURED = Sensitivity(
    images=1, layers=(LayerSensitivity(name="a", kind="Conv2d", parameters=1, logits_db=20.0),)
)


def test_the_fewest_float_layers_within_the_bound_are_taken() -> None:
    tried = [assignment(4, 1, 1.3), assignment(0, 20, 1.0), assignment(2, 5, 1.1)]
    report = report_of("openvino", 0.5, MEASURED, tried)
    assert [len(a.float_layers) for a in report.assignments] == [0, 2, 4]
    assert (report.chosen, report.reached) == (1, True)
    assert [a.on_front for a in report.assignments] == [True, True, True]


def test_what_is_slower_and_less_accurate_is_not_on_the_front() -> None:
    tried = [assignment(0, 20, 1.0), assignment(1, 25, 1.2), assignment(2, 5, 1.1)]
    report = report_of("openvino", 0.5, MEASURED, tried)
    assert [a.on_front for a in report.assignments] == [True, False, True]


def test_where_none_is_within_the_best_is_taken_and_said() -> None:
    tried = [assignment(0, 20, None), assignment(1, 8, None), assignment(2, 9, None)]
    report = report_of("openvino", 0.5, MEASURED, tried)
    assert (report.chosen, report.reached) == (1, False)
