"""What conversion stores: a state that holds tensors only, and the table of modules."""

import io

import pytest
import torch

from schemas.convert import ConvertSummary, QuantizationConfig
from tasks.calibrate.observe import observe
from tasks.convert.quantize import quantize
from tasks.models.choose import example_of
from tasks.models.int8 import load_int8
from tests.models.prepare.networks import SHAPE, Residual, warmed


def test_the_state_loads_without_running_code_and_gives_the_network_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    network = warmed(Residual())
    config = QuantizationConfig(mode="eager", observer="minmax")
    images = torch.randn(8, *SHAPE)
    table = observe(network, [images], config, images_sha256="")
    state, summary = quantize(network, config, table, example_of(SHAPE), "asked for")
    torch.load(io.BytesIO(state), weights_only=True)
    file = tmp_path_factory.mktemp("state") / "int8.pt"
    file.write_bytes(state)
    int8, exporter = load_int8(network, config, file, SHAPE)
    assert exporter == "torchscript"
    with torch.inference_mode():
        assert (int8(images).argmax(1) == network(images).argmax(1)).float().mean() >= 0.75
    assert ConvertSummary.model_validate_json(summary.model_dump_json()) == summary
    assert (summary.mode, summary.reason) == ("eager", "asked for")
    assert {row.name for row in summary.modules} >= {"conv1", "bn1", "conv2", "conv10", "fc"}
