"""Networks that were not written for quantization are prepared, and answer as before."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig
from schemas.export import ExportConfig
from tasks.calibrate.observe import observe
from tasks.export.to_onnx import export_onnx
from tasks.models.choose import choose, example_of
from tasks.models.eager import EagerQuantizer
from tasks.models.fx import FxQuantizer
from tasks.models.prepare.automatic import rewritten
from tasks.models.quantizer import Quantizer
from tests.models.prepare.networks import SHAPE, Gated, Own, Residual, Shuffled, Tokens, warmed

NETWORKS = (Residual, Gated, Shuffled, Own)
EXAMPLE = example_of(SHAPE)
CONFIG = QuantizationConfig(mode="eager", observer="minmax")
EAGER = EagerQuantizer()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(1))


def calibrated(
    kind: Callable[[], nn.Module], images: Tensor, config: QuantizationConfig = CONFIG
) -> tuple[nn.Module, CalibrationTable]:
    network = warmed(kind())
    return network, observe(network, [images], config, images_sha256="")


@pytest.mark.parametrize("kind", NETWORKS)
def test_rewritten_a_network_answers_bit_equal_in_any_batch(
    kind: Callable[[], nn.Module], images: Tensor
) -> None:
    network = warmed(kind())
    graph = rewritten(network, EXAMPLE)
    with torch.inference_mode():
        for count in (1, 2, 5):
            assert torch.equal(graph(images[:count]), network(images[:count]))


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_convolution_and_linear_layer_becomes_int8_and_the_int8_network_agrees(
    kind: Callable[[], nn.Module], images: Tensor
) -> None:
    network, table = calibrated(kind, images)
    rows = EAGER.explain(network, CONFIG, table, EXAMPLE)
    weighted = [row for row in rows if row.kind in ("Conv2d", "Linear")]
    expected = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(weighted) == len(expected)
    assert all(row.quantized and row.scale for row in weighted)
    assert all(row.why for row in rows)
    int8 = EAGER.convert_with_table(network, CONFIG, table, EXAMPLE)
    with torch.inference_mode():
        reference, found = network(images), int8(images)
    assert (found - reference).abs().max() < 0.15 * reference.abs().max()


@pytest.mark.parametrize("quantizer", [EAGER, FxQuantizer()], ids=["eager", "fx"])
@pytest.mark.parametrize("kind", [Residual, Gated])
def test_the_stored_state_gives_the_int8_network_again(
    quantizer: Quantizer, kind: Callable[[], nn.Module], images: Tensor
) -> None:
    config = CONFIG.model_copy(update={"mode": quantizer.mode})
    network, table = calibrated(kind, images, config)
    int8 = quantizer.convert_with_table(network, config, table, EXAMPLE)
    again = quantizer.load_int8(network, config, quantizer.int8_state(int8), EXAMPLE)
    with torch.inference_mode():
        assert torch.equal(int8(images), again(images))


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_exports_with_an_open_batch_and_onnxruntime_agrees(
    kind: Callable[[], nn.Module], images: Tensor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    network, table = calibrated(kind, images)
    int8 = EAGER.convert_with_table(network, CONFIG, table, EXAMPLE)
    file = tmp_path_factory.mktemp("onnx") / "int8.onnx"
    export_onnx(int8, SHAPE, ExportConfig(), file)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    answers = session.run(None, {"images": images.numpy()})[0]
    with torch.inference_mode():
        expected = int8(images).numpy()
    fc = table.tensors["fc.activation_post_process"].scale
    assert np.abs(answers - expected).max() <= 4 * fc


def test_a_table_through_json_keeps_every_scale(images: Tensor) -> None:
    _, table = calibrated(Gated, images)
    assert CalibrationTable.model_validate_json(table.model_dump_json()) == table


@pytest.mark.parametrize("kernels", ["x86", "onednn", "qnnpack"])
def test_relu6_is_a_clip_behind_its_convolution_on_one_grid(
    kernels: str, images: Tensor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    class Hot(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.act = nn.ReLU6()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.conv(x))

    torch.manual_seed(0)
    network = Hot().eval()
    network.conv.weight.data *= 40
    config = CONFIG.model_copy(update={"kernels": kernels})
    table = observe(network, [images], config, images_sha256="")
    int8 = EAGER.convert_with_table(network, config, table, EXAMPLE)
    entry = table.tensors["conv.inner.activation_post_process"]
    assert entry.maximum == 6.0
    with torch.inference_mode():
        expected, found = network(images), int8(images)
    assert (expected == 6).any()
    assert found.max() <= 6
    # The input is rounded too, and the large weights magnify it; at the clamp nothing is left.
    assert ((found - 6).abs() <= entry.scale)[expected == 6].float().mean() > 0.95
    # A compiler that widens the grid, as to uint8, still has the clamp.
    file = tmp_path_factory.mktemp("clip") / "clip.onnx"
    export_onnx(int8, SHAPE, ExportConfig(), file)
    kinds = [node.op_type for node in onnx.load(file).graph.node]
    assert kinds.count("Clip") == 1
    assert "Relu" not in kinds


def test_moved_values_keep_their_grid(images: Tensor) -> None:
    _, table = calibrated(Shuffled, images)
    source = table.tensors["conv1.activation_post_process"]
    moved = [
        entry
        for name, entry in table.tensors.items()
        if name != "conv1.activation_post_process" and entry == source
    ]
    assert len(moved) >= 2


def test_batchnorm_behind_a_relu_stays_float_between_int8(images: Tensor) -> None:
    network, table = calibrated(Own, images)
    rows = {row.name: row for row in EAGER.explain(network, CONFIG, table, EXAMPLE)}
    assert not rows["norm"].quantized
    assert "right before it" in rows["norm"].why
    assert rows["conv1.conv2d"].became == "ConvReLU2d"
    assert rows["conv2"].quantized


@pytest.mark.parametrize("features", [3, 8], ids=["as many as tokens", "more than tokens"])
def test_a_batchnorm_over_tokens_is_not_folded_into_the_linear_layer(
    features: int, images: Tensor
) -> None:
    network = warmed(Tokens(features))
    assert choose(network, QuantizationConfig(), EXAMPLE).mode == "eager"
    prepared = EAGER.prepare(network, CONFIG, EXAMPLE)
    assert type(prepared.get_submodule("norm")) is nn.BatchNorm1d
    with torch.inference_mode():
        torch.testing.assert_close(prepared(images), network(images), rtol=1e-4, atol=1e-4)


def test_a_network_in_training_mode_is_quantized_as_it_is_evaluated(images: Tensor) -> None:
    network = warmed(Gated())
    with torch.inference_mode():
        expected = network(images)
    observed = EAGER.prepare(network.train().eval(), CONFIG, EXAMPLE)
    with torch.inference_mode():
        torch.testing.assert_close(observed(images), expected, rtol=1e-4, atol=1e-4)


def test_fusing_for_training_keeps_batchnorm_learning() -> None:
    from torch.ao.quantization import get_default_qat_qconfig, prepare_qat

    from tasks.models.prepare.automatic import make_quantizable
    from tasks.models.prepare.quantizable import traced

    network = warmed(Residual())
    graph = traced(network, EXAMPLE)
    make_quantizable(graph, network, CONFIG, for_training=True)
    graph.train()
    graph.qconfig = get_default_qat_qconfig("x86")  # type: ignore[assignment]
    prepared = prepare_qat(graph, inplace=True)
    prepared(torch.randn(4, *SHAPE)).sum().backward()
    weight = prepared.get_submodule("conv1").weight
    assert isinstance(weight, nn.Parameter)
    assert weight.grad is not None
