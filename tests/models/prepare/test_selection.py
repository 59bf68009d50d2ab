"""Which modules a job quantizes: patterns, types, first and last layer, observers."""

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.ao.quantization import HistogramObserver, MinMaxObserver, ObserverBase
from torchvision.models.quantization import resnet18 as quantizable_resnet18

import tasks.models.prepare.quantizable
from schemas.convert import QuantizationConfig, QuantizedModule
from schemas.errors import InputError
from tasks.models.choose import choose, example_of
from tasks.models.eager import EagerQuantizer
from tasks.models.fx import FxQuantizer
from tasks.models.quantizer import NOTHING_SEEN, Quantizer
from tasks.models.resnet import resnet20
from tests.models.prepare.networks import (
    SHAPE,
    HeadFirst,
    Recurrent,
    Residual,
    Standardized,
    Tempered,
    UntraceableHeadFirst,
    warmed,
)

EXAMPLE = example_of(SHAPE)
EAGER = EagerQuantizer()


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return warmed(Residual())


def config(**fields: Any) -> QuantizationConfig:
    return QuantizationConfig(mode="eager", observer="minmax", **fields)


def explained(network: nn.Module, **fields: Any) -> dict[str, QuantizedModule]:
    rows = EAGER.explain(network, config(**fields), NOTHING_SEEN, EXAMPLE)
    return {row.name: row for row in rows}


def int8_of(network: nn.Module, **fields: Any) -> set[str]:
    rows = explained(network, **fields).values()
    return {row.name for row in rows if row.quantized and row.kind in ("Conv2d", "Linear")}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"conv1", "conv2", "conv10", "fc"}),
        ({"exclude": ["conv1"]}, {"conv2", "conv10", "fc"}),
        ({"exclude": ["conv*"]}, {"fc"}),
        ({"include": ["conv1*"]}, {"conv1", "conv10"}),
        ({"include": ["conv1*"], "exclude": ["conv1"]}, {"conv10"}),
        ({"exclude_types": ["Linear"]}, {"conv1", "conv2", "conv10"}),
        ({"include_types": ["Linear"]}, {"fc"}),
        ({"first_layer": "float"}, {"conv2", "conv10", "fc"}),
        ({"last_layer": "float"}, {"conv1", "conv2", "conv10"}),
    ],
)
def test_exactly_what_is_asked_for_is_int8(
    network: nn.Module, fields: dict[str, Any], expected: set[str]
) -> None:
    assert int8_of(network, **fields) == expected


@pytest.mark.parametrize("kind", [HeadFirst, UntraceableHeadFirst])
def test_the_last_layer_is_the_one_that_runs_last(kind: type[nn.Module]) -> None:
    assert int8_of(kind().eval(), last_layer="float") == {"conv1", "conv2"}
    assert int8_of(kind().eval(), first_layer="float") == {"conv2", "head"}


def test_every_call_of_a_module_is_what_the_job_makes_of_the_module() -> None:
    cells = {"cell", "cell_2", "cell_3"}
    assert int8_of(Recurrent().eval()) == {"stem", "fc", *cells}
    assert int8_of(Recurrent().eval(), exclude=["cell"]) == {"stem", "fc"}
    assert int8_of(Recurrent().eval(), include=["cell"]) == cells
    prepared = EAGER.prepare(Recurrent().eval(), config(observers={"cell": "histogram"}), EXAMPLE)
    for cell in cells:
        observer = prepared.get_submodule(f"{cell}.activation_post_process")
        assert isinstance(observer, HistogramObserver)


def test_the_table_says_by_which_choice_a_module_is_float(network: nn.Module) -> None:
    assert explained(network, exclude=["conv1"])["conv1"].why.endswith("quantization.exclude conv1")
    assert "last layer" in explained(network, last_layer="float")["fc"].why


def test_an_excluded_module_computes_what_it_computed(network: nn.Module) -> None:
    whole = EAGER.convert_with_table(network, config(exclude=["conv1"]), NOTHING_SEEN, EXAMPLE)
    conv = whole.get_submodule("conv1")
    assert type(conv) is nn.Conv2d
    assert torch.equal(conv.weight, network.get_submodule("conv1").weight)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"exclude": ["conv3"]}, r"exclude: no module is called 'conv3': did you mean conv\d+\?"),
        ({"include": ["layer9.*"]}, "include: no module is called 'layer9"),
        ({"observers": {"fcc": "minmax"}}, r"no module is called 'fcc': did you mean fc\?"),
        ({"exclude_types": ["Conv2D"]}, r"no module is a 'Conv2D': did you mean Conv2d\?"),
    ],
)
def test_a_pattern_that_fits_nothing_is_refused_with_the_nearest(
    network: nn.Module, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        EAGER.prepare(network, config(**fields), EXAMPLE)


def test_a_module_can_have_an_observer_of_its_own(network: nn.Module) -> None:
    prepared = EAGER.prepare(network, config(observers={"conv2": "histogram"}), EXAMPLE)
    name = "activation_post_process"
    assert isinstance(prepared.get_submodule(f"conv2.{name}"), HistogramObserver)
    assert type(prepared.get_submodule(f"conv10.{name}")) is MinMaxObserver


def watching(prepared: nn.Module, module: str) -> type[nn.Module]:
    """The kind of the observer that watches a module's output."""
    if isinstance(prepared, fx.GraphModule) and not hasattr(prepared, "ties"):
        call = next(node for node in prepared.graph.nodes if node.target == module)
        return type(prepared.get_submodule(str(next(iter(call.users)).target)))
    inside = prepared.get_submodule(module)
    return next(type(m) for m in inside.modules() if isinstance(m, ObserverBase))


@pytest.mark.parametrize("quantizer", [EAGER, FxQuantizer()], ids=["eager", "fx"])
def test_an_observer_given_to_a_fused_relu_watches_its_output(
    network: nn.Module, quantizer: Quantizer
) -> None:
    choice = config(observers={"relu": "histogram"}).model_copy(update={"mode": quantizer.mode})
    prepared = quantizer.prepare(network, choice, EXAMPLE)
    assert issubclass(watching(prepared, "conv2"), HistogramObserver)
    assert issubclass(watching(prepared, "conv10"), HistogramObserver)
    assert watching(prepared, "conv1") is MinMaxObserver
    if quantizer is EAGER:
        assert issubclass(watching(prepared, "add_relu"), HistogramObserver)


def test_an_observer_given_to_a_relu_that_fuse_model_fuses_watches_its_output() -> None:
    network = quantizable_resnet18(quantize=False).eval()
    prepared = EAGER.prepare(network, config(observers={"layer1.0.relu": "histogram"}), EXAMPLE)
    assert issubclass(watching(prepared, "layer1.0.conv1"), HistogramObserver)
    assert watching(prepared, "layer1.1.conv1") is MinMaxObserver


def test_a_float_layer_that_fx_fuses_with_its_relu_is_said_to_be_float(network: nn.Module) -> None:
    choice = config(exclude=["conv10"]).model_copy(update={"mode": "fx"})
    rows = FxQuantizer().explain(network, choice, NOTHING_SEEN, EXAMPLE)
    integer = {row.name for row in rows if row.quantized and row.kind in ("Conv2d", "Linear")}
    assert integer == {"conv1", "conv2", "fc"}


def test_choices_are_tried_on_one_trace(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    EAGER.prepare(network, config(), EXAMPLE)

    def never(*_: Any) -> Any:
        raise AssertionError("traced again")

    monkeypatch.setattr(tasks.models.prepare.quantizable, "rewritten", never)
    assert int8_of(network, exclude=["conv2"]) == {"conv1", "conv10", "fc"}


def test_weights_that_change_between_choices_count() -> None:
    network = warmed(Residual())
    EAGER.prepare(network, config(), EXAMPLE)
    with torch.no_grad():
        network.get_submodule("fc").weight.zero_()  # type: ignore[operator, union-attr]
        prepared = EAGER.prepare(network, config(exclude=["conv1"]), EXAMPLE)
        images = torch.randn(4, *SHAPE)
        torch.testing.assert_close(prepared(images), network(images), rtol=1e-4, atol=1e-4)


def test_a_parameter_that_is_read_as_a_number_has_the_value_of_now() -> None:
    network, images = warmed(Tempered()), torch.randn(4, *SHAPE)
    assert choose(network, QuantizationConfig(), EXAMPLE).mode == "eager"
    for temperature in (3.0, 0.5):
        with torch.no_grad():
            network.get_parameter("temperature").fill_(temperature)
            prepared = EAGER.prepare(network, config(), EXAMPLE)
            torch.testing.assert_close(prepared(images), network(images), rtol=1e-4, atol=1e-4)


def test_excluding_in_a_network_with_stubs_moves_the_stubs() -> None:
    network = resnet20(in_channels=3).eval()
    assert "stages.0.0.conv1" not in int8_of(network, exclude=["stages.0.0"])
    assert "stages.0.1.conv1" in int8_of(network, exclude=["stages.0.0"])
    images = torch.randn(2, *SHAPE)
    int8 = EAGER.convert_with_table(network, config(exclude=["stages.0.0"]), NOTHING_SEEN, EXAMPLE)
    assert int8(images).shape == (2, 10)


class Upsampling(nn.Module):
    """Eager mode has no transposed convolution with a scale per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.up(self.conv(x)).amax((2, 3)))


def test_auto_takes_eager_where_it_does_and_says_so(network: nn.Module) -> None:
    choice = choose(network, QuantizationConfig(), EXAMPLE)
    assert choice.mode == "eager"
    assert "traces, quantizes and exports" in choice.reason
    assert choice == choose(warmed(Residual()), QuantizationConfig(), EXAMPLE)


def test_auto_takes_pt2e_where_eager_leaves_weights_in_float() -> None:
    choice = choose(Upsampling().eval(), QuantizationConfig(), EXAMPLE)
    assert choice.mode == "pt2e"
    assert "would leave up in float" in choice.reason


def test_auto_stays_with_eager_where_the_job_itself_leaves_them_in_float() -> None:
    choice = choose(Upsampling().eval(), QuantizationConfig(exclude=("up",)), EXAMPLE)
    assert choice.mode == "eager"


def test_auto_takes_pt2e_where_eager_leaves_a_function_with_weights_in_float() -> None:
    network = nn.Sequential(Standardized(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)).eval()
    network.append(nn.Flatten())
    choice = choose(network, QuantizationConfig(), EXAMPLE)
    assert (choice.mode, "would leave 0.conv2d in float" in choice.reason) == ("pt2e", True)
    for given in ({"exclude": ("0",)}, {"exclude_types": ("Standardized",)}, {"include": ("2",)}):
        assert choose(network, QuantizationConfig(**given), EXAMPLE).mode == "eager"
