"""What is said, in one line, of networks that cannot be used as they are."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from tasks.models.admit import admit
from tasks.models.build import build_model
from tasks.models.choose import choose, example_of
from tasks.models.eager import EagerQuantizer
from tasks.models.integer_modules import read_ranges
from tasks.models.prepare.automatic import rewritten
from tasks.models.prepare.trace import UntraceableError
from tasks.models.quantizer import NOTHING_SEEN, quantizer
from tests.models.prepare.networks import (
    SHAPE,
    Deciding,
    Residual,
    Tokens,
    Untraceable,
    UntraceableDeciding,
    warmed,
)

EXAMPLE = example_of(SHAPE)
EAGER = EagerQuantizer()
CONFIG = QuantizationConfig(mode="eager", observer="minmax")


class TwoInputs(Residual):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x + y)


class DictOutput(Residual):
    def forward(self, x: Tensor) -> Any:
        return {"logits": super().forward(x), "aux": x}


class TwoOutputs(Residual):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


class OneRow(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean()


class AlwaysDropping(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5)


class Standardizing(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.5).div_(0.25))


class Undefined(Residual):
    """NaN wherever a value is negative: images are not, noise is."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sqrt())


def with_nan() -> nn.Module:
    network = Residual()
    network.conv2.weight.data[0] = float("nan")
    return network


def settle(network: nn.Module, config: QuantizationConfig) -> None:
    """What calibration does first."""
    quantizer(choose(network, config, EXAMPLE).mode).prepare(network, config, EXAMPLE)


def state_dict() -> dict[str, Tensor]:
    return Residual().state_dict()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (TwoInputs(), r"takes 2 inputs \(x, y\): name a factory that wraps"),
        (DictOutput(), "returns a dict of logits, aux and not one tensor"),
        (TwoOutputs(), "returns 2 outputs and not one tensor"),
        (OneRow(), r"returns a tensor of shape \[\] for 2 images"),
        (with_nan(), r"has NaN or infinity in conv2\.weight"),
        (AlwaysDropping(), "answers differently each time, in evaluation mode too: take out"),
        (Standardizing(), r"changes its images in place: write x = x - mean for x\.sub_"),
    ],
)
def test_a_network_of_another_kind_is_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        admit(network.eval(), EXAMPLE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [Residual, Untraceable, Undefined])
def test_a_network_that_answers_the_same_twice_is_let_in(kind: type[nn.Module]) -> None:
    admit(kind().eval(), EXAMPLE)


def test_as_many_classes_as_the_images_have_are_wanted() -> None:
    admit(Residual().eval(), EXAMPLE, 5)
    with pytest.raises(InputError, match=r"row of shape \[5\] and the data has 3 classes: set"):
        admit(Residual().eval(), EXAMPLE, 3)


def test_images_that_the_network_does_not_take_are_named() -> None:
    with pytest.raises(InputError, match=r"does not take images of shape \[1, 16, 16\]"):
        admit(Residual().eval(), example_of((1, 16, 16)))


def test_a_factory_that_returns_a_state_dict_is_told_what_to_return() -> None:
    with pytest.raises(InputError, match="returned a state dict: name one that returns the net"):
        build_model(f"{__name__}:state_dict", {})


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        (Deciding, "auto"),
        (Deciding, "eager"),
        (Deciding, "fx"),
        (UntraceableDeciding, "auto"),
        (UntraceableDeciding, "eager"),
    ],
)
def test_a_branch_on_the_images_values_is_refused_with_its_line(
    kind: type[nn.Module], mode: str
) -> None:
    network = warmed(kind())
    config = CONFIG.model_copy(update={"mode": mode})
    with pytest.raises(InputError, match=r"decides by the values of the images") as error:
        settle(network, config)
    assert re.search(r"networks\.py:\d+: .*(mean|sum)\(\)", str(error.value))


def test_fx_is_refused_where_it_would_fold_a_batchnorm_over_tokens_into_features() -> None:
    for features in (3, 8):
        with pytest.raises(InputError, match="folds norm, which norms tokens, into mix as if it"):
            settle(warmed(Tokens(features)), CONFIG.model_copy(update={"mode": "fx"}))


def test_dropout_that_is_always_on_is_noticed() -> None:
    with pytest.raises(UntraceableError, match="differently each time"):
        rewritten(warmed(AlwaysDropping()), EXAMPLE)


def test_an_untraceable_network_is_quantized_module_by_module() -> None:
    network = warmed(Untraceable())
    rows = {row.name: row for row in EAGER.explain(network, CONFIG, NOTHING_SEEN, EXAMPLE)}
    assert {name for name, row in rows.items() if row.quantized} == {"conv", "fc"}
    assert "not a tensor" in rows["conv"].why
    assert "unused" not in rows
    images = torch.randn(8, *SHAPE)
    prepared = EAGER.prepare(network, CONFIG, EXAMPLE)
    with torch.inference_mode():
        torch.testing.assert_close(prepared(images), network(images))
    assert set(read_ranges(prepared)) == {
        f"{name}.{part}.activation_post_process"
        for name in ("conv", "fc")
        for part in ("quant", "module")
    }


def test_observers_that_saw_no_image_are_named() -> None:
    prepared = EAGER.prepare(warmed(Residual()), CONFIG, EXAMPLE)
    with pytest.raises(InputError, match=r"no image reached .*conv1.*quantization\.exclude"):
        read_ranges(prepared)


def test_auxiliary_heads_of_a_network_with_stubs_stay_float() -> None:
    from torch.ao.quantization import DeQuantStub, QuantStub

    class WithHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quant, self.dequant = QuantStub(), DeQuantStub()
            self.conv = nn.Conv2d(3, 4, 3)
            self.head = nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(self.quant(x))
            if self.training:
                y = self.head(y)
            return self.dequant(y)

        def fuse_model(self) -> None:
            pass

    network = WithHead().eval()
    assert choose(network, QuantizationConfig(), EXAMPLE).mode == "eager"
    prepared = EAGER.prepare(network, CONFIG, EXAMPLE)
    with torch.inference_mode():
        prepared(torch.randn(2, *SHAPE))
    assert not any(name.startswith("head") for name in read_ranges(prepared))
