"""Training on with rounding serves every quantization mode: its checkpoint is a plain network's.

Networks that it does not serve are refused before the first step.
"""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from schemas.convert import Observer, QuantizationConfig, QuantizedMode
from schemas.errors import InputError
from schemas.finetune import FinetuneConfig
from tasks.calibrate.observe import observe
from tasks.datasets.dataset import Dataset
from tasks.models.choose import example_of
from tasks.models.quantizer import quantizer
from tasks.sensitivity.measure import measure_sensitivity
from tasks.train.finetune import finetune
from tasks.train.rounding import simulate_rounding, stop_rounding
from tests.models.prepare.networks import SHAPE, HeadFirst
from tests.train.conftest import small

QUICK = FinetuneConfig(
    epochs=1,
    batch_size=50,
    learning_rate=0.005,
    crop_padding_px=0,
    horizontal_flip=False,
    device="cpu",
)


@pytest.mark.parametrize("mode", ["eager", "fx", "pt2e"])
def test_one_epoch_and_then_int8(noise: Dataset, mode: QuantizedMode) -> None:
    torch.manual_seed(0)
    start = small().eval()
    config = QuantizationConfig(mode=mode, observer="minmax")
    batch = torch.from_numpy(noise.images(np.arange(64)))

    def rounding() -> torch.nn.Module:
        return simulate_rounding(copy.deepcopy(start), [batch], config)

    trained, summary = finetune(rounding, copy.deepcopy(start), noise, QUICK)
    assert len(summary.epochs) == 1
    plain = small().eval()
    plain.load_state_dict(trained.state_dict())
    table = observe(plain, [batch], config, images_sha256="")
    example = example_of(tuple(batch.shape[1:]))
    int8 = quantizer(mode).convert_with_table(plain, config, table, example)
    with torch.no_grad():
        meant, got = plain(batch), int8(batch)
    assert (got - meant).norm() < 0.15 * meant.norm()


def test_a_last_layer_in_float_is_the_one_that_runs_last() -> None:
    config = QuantizationConfig(observer="minmax", last_layer="float")
    learning = simulate_rounding(HeadFirst().eval(), [torch.rand(4, *SHAPE)], config)
    rounded = [name for name, x in learning.named_modules() if "rounded_input" in x._modules]
    assert rounded == ["conv1", "conv2"]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the old weight_norm's
@pytest.mark.parametrize(
    "computed",
    [weight_norm, parametrizations.weight_norm, parametrizations.spectral_norm],
    ids=["weight_norm", "parametrized weight_norm", "parametrized spectral_norm"],
)
def test_weights_that_are_computed_are_refused_unless_they_stay_in_float(
    computed: Callable[[nn.Module], nn.Module],
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        computed(nn.Conv2d(1, 4, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    ).eval()
    images, config = [torch.randn(4, 1, 8, 8)], QuantizationConfig(observer="minmax")
    with pytest.raises(InputError, match="finetune: 0 computes its weights"):
        simulate_rounding(network, images, config)
    with pytest.raises(InputError, match="mixed_precision: 0 computes its weights"):
        measure_sensitivity(network, images, config)
    only_last = config.model_copy(update={"exclude": ("0",)})
    assert [x.name for x in measure_sensitivity(network, images, only_last).layers] == ["3"]
    keys = network.state_dict().keys()
    assert stop_rounding(simulate_rounding(network, images, only_last)).state_dict().keys() == keys


@pytest.mark.parametrize("observer", ["histogram", "minmax"])
def test_an_input_that_is_not_finite_is_refused(observer: Observer) -> None:
    images = torch.randn(4, 1, 8, 8)
    images[2] = float("nan")
    config = QuantizationConfig(observer=observer)
    with pytest.raises(InputError, match=r"finetune: the input of conv1 reached nan\.\.nan"):
        simulate_rounding(small().eval(), [images], config)
