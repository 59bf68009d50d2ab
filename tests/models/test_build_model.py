"""Networks from factories, and what is said where a factory cannot be used."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from schemas.model import ModelRef
from tasks.artifacts.store import Store
from tasks.models.build import build_model
from tasks.models.eager import EagerQuantizer
from tasks.models.factory import import_from, resolve
from tasks.models.float32 import load_float32
from tasks.models.weights import save_weights
from tasks.runtimes.torch import TorchSession
from tests.models.prepare.networks import SHAPE, Residual, Untraceable

NOT_CALLABLE = 3


class Holder:
    @staticmethod
    def build(width: int = 2) -> nn.Module:
        return nn.Linear(3, width)


class Frozen(Residual):
    """Its train() changes what it is to and returns nothing, as many an override does."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)
        self.bn1.train(False)


class UntraceableFrozen(Untraceable, Frozen):
    pass


def no_module() -> str:
    return "a network"


def raising() -> nn.Module:
    raise RuntimeError("no such depth\nsecond line")


def test_a_factory_is_called_with_its_kwargs() -> None:
    model = build_model("torch.nn:Conv2d", {"in_channels": 1, "out_channels": 4, "kernel_size": 3})
    assert isinstance(model, nn.Conv2d)
    assert model.weight.shape == (4, 1, 3, 3)


def test_an_attribute_of_an_attribute_resolves() -> None:
    assert build_model(f"{__name__}:Holder.build", {"width": 5})(torch.zeros(1, 3)).shape == (1, 5)


def test_a_module_beside_the_job_file_resolves_after_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_own_net.py").write_text("from torch import nn\nclass Net(nn.Module): pass\n")
    (tmp_path / "json.py").write_text("raise SystemExit('not the standard library')")
    with pytest.raises(InputError, match="there is no module my_own_net: install it, or put it"):
        resolve("my_own_net:Net")
    import_from(tmp_path)
    import_from(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1
    assert type(build_model("my_own_net:Net", {})).__name__ == "Net"
    assert resolve("json:dumps")(1) == "1"
    sys.modules.pop("my_own_net")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_library\n", "install no_such_library, which its module needs"),
        ("def f(:\n", "does not import .SyntaxError"),
        ("1 / 0\n", "does not import .ZeroDivisionError"),
    ],
)
def test_a_module_that_does_not_import_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_net.py").write_text(source)
    with pytest.raises(InputError, match=message):
        build_model("broken_net:f", {})


@pytest.mark.parametrize(
    ("factory", "kwargs", "message"),
    [
        ("no_such_module:f", {}, "there is no module no_such_module"),
        ("torch.no_such:f", {}, r"there is no module torch\.no_such"),
        ("torch.nn:NoSuch", {}, r"module torch\.nn has no NoSuch"),
        (f"{__name__}:NOT_CALLABLE", {}, "is a int, not a callable"),
        (f"{__name__}:no_module", {}, r"returned a str, not a torch\.nn\.Module"),
        (f"{__name__}:raising", {}, "RuntimeError: no such depth second line"),
        (f"{__name__}:Holder.build", {"depth": 3}, "does not take kwargs .*'depth'"),
        ("torch.nn:Linear", {"in_features": 3}, "does not take kwargs .*'out_features'"),
        ("torch.nn:Linear", {"in_features": -1, "out_features": 2}, "failed with kwargs"),
    ],
)
def test_a_factory_that_cannot_be_used_is_one_line(
    factory: str, kwargs: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        build_model(factory, kwargs)
    assert factory in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [Frozen, UntraceableFrozen])
def test_a_network_whose_train_returns_nothing_is_evaluated_and_quantized(
    kind: type[nn.Module], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    save_weights(kind(), tmp_path / "weights.safetensors")
    weights = store.put_file("checkpoint", tmp_path / "weights.safetensors")
    factory = f"{__name__}:{kind.__name__}"
    network = load_float32(
        ModelRef(factory=factory, kwargs={}, source_sha256="0" * 64, weights=weights), store
    )
    assert not network.training
    images = torch.randn(2, *SHAPE)
    EagerQuantizer().prepare(network, QuantizationConfig(mode="eager"), images)(images)
    assert TorchSession(network).infer(images.numpy()).shape == (2, 5)
