"""Training on with rounding serves every quantization mode: its checkpoint is a plain network's."""

import copy

import numpy as np
import pytest
import torch

from schemas.convert import QuantizationConfig, QuantizedMode
from schemas.finetune import FinetuneConfig
from tasks.calibrate.observe import observe
from tasks.datasets.dataset import Dataset
from tasks.models.choose import example_of
from tasks.models.quantizer import quantizer
from tasks.train.finetune import finetune
from tasks.train.rounding import simulate_rounding
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
