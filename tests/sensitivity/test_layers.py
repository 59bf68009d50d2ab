"""Layer by layer, on real exports: a planted error is found where it was planted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from schemas.export import ExportConfig
from tasks.calibrate.observe import observe
from tasks.export.to_onnx import export_onnx
from tasks.models.eager import convert_with_table
from tasks.models.resnet import ResNet
from tasks.sensitivity.layers import layer_error
from tasks.sensitivity.match import matched, spots
from tasks.surgery.repair import repair

CONFIG = QuantizationConfig(mode="eager", observer="minmax")


@dataclass(frozen=True)
class Exports:
    network: torch.nn.Module
    images: NDArray[np.float32]
    float32: Path
    exported: Path
    repaired: Path


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    folder = tmp_path_factory.mktemp("layers")
    torch.manual_seed(0)
    network = ResNet((1, 1), (8, 16), 10, 1)
    images = torch.rand(16, 1, 12, 12)
    network.train()
    with torch.no_grad():
        network(images)
    network.eval()
    made = Exports(
        network, images.numpy(), folder / "f.onnx", folder / "int8.onnx", folder / "repaired.onnx"
    )
    export_onnx(network, (1, 12, 12), ExportConfig(), made.float32)
    write_int8(made, {})
    return made


def write_int8(made: Exports, factors: dict[str, float]) -> None:
    """Export and repair, the scales of some observers multiplied first."""
    table = observe(made.network, [torch.from_numpy(made.images)], CONFIG, images_sha256="")
    changed = {
        name: entry.model_copy(update={"scale": entry.scale * factors.get(name, 1.0)})
        for name, entry in table.tensors.items()
    }
    int8 = convert_with_table(made.network, CONFIG, table.model_copy(update={"tensors": changed}))
    export_onnx(int8, (1, 12, 12), ExportConfig(), made.exported)
    onnx.save(repair(onnx.load(made.exported), "openvino")[0], made.repaired)


def test_every_convolution_linear_layer_and_addition_is_told_apart(exports: Exports) -> None:
    errors = layer_error(
        exports.float32, exports.exported, exports.repaired, exports.images, "openvino"
    )
    ops = [layer.op for layer in errors.layers]
    assert (ops.count("Conv"), ops.count("Gemm"), ops.count("Add")) == (6, 1, 2)
    assert errors.layers[0].name == "/conv1/Conv"
    for layer in errors.layers:
        assert layer.int8_db is not None
        assert layer.engine_db is not None
        assert 15 < layer.int8_db < 60
        assert abs(layer.int8_db - layer.engine_db) < 3
    assert errors.diverges_at is None
    assert "is PyTorch's INT8 network in every layer" in errors.findings[-1]


def test_a_grid_that_is_far_too_wide_is_where_the_error_enters(
    exports: Exports, tmp_path: Path
) -> None:
    coarse = Exports(
        exports.network, exports.images, exports.float32, tmp_path / "i.onnx", tmp_path / "r.onnx"
    )
    write_int8(coarse, {"stages.0.0.conv1.activation_post_process": 40.0})
    errors = layer_error(
        coarse.float32, coarse.exported, coarse.repaired, coarse.images, "openvino"
    )
    assert errors.enters_at == "/stages/stages.0/stages.0.0/conv2/Conv"
    assert errors.findings[0].startswith(f"most error enters at {errors.enters_at}")


def test_an_engine_that_computes_something_else_is_named_at_its_first_layer(
    exports: Exports, tmp_path: Path
) -> None:
    model = onnx.load(exports.repaired)
    wanted = next(x for x in spots(onnx.load(exports.float32)) if "stages.1.0/conv1" in x.name)
    output = matched(spots(onnx.load(exports.float32)), spots(model))[wanted.tensor]
    broken = next(n for n in model.graph.node if n.output[0] == output)
    bias = next(x for x in model.graph.initializer if x.name == broken.input[2])
    bias.CopyFrom(
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(3), bias.name)
    )
    onnx.save(model, tmp_path / "broken.onnx")
    errors = layer_error(
        exports.float32, exports.exported, tmp_path / "broken.onnx", exports.images, "openvino"
    )
    assert errors.diverges_at == wanted.name


def test_a_target_that_does_not_run_here_is_judged_by_its_graph(exports: Exports) -> None:
    errors = layer_error(
        exports.float32, exports.exported, exports.repaired, exports.images, "tensorrt_rtx"
    )
    assert all(x.engine_db is None and x.graph_db is not None for x in errors.layers)
    assert "tensorrt_rtx graph" in errors.findings[-1]


def test_layers_are_matched_by_order_and_shape_not_by_name(exports: Exports) -> None:
    float32, repaired = onnx.load(exports.float32), onnx.load(exports.repaired)
    for node in repaired.graph.node:
        node.name = ""
    found = matched(spots(float32), spots(repaired))
    assert len(found) == len(spots(float32))


def test_graphs_of_different_networks_are_refused(exports: Exports, tmp_path: Path) -> None:
    export_onnx(torch.nn.Flatten(), (1, 12, 12), ExportConfig(), tmp_path / "other.onnx")
    with pytest.raises(InputError, match="share no layer"):
        layer_error(
            exports.float32,
            tmp_path / "other.onnx",
            tmp_path / "other.onnx",
            exports.images,
            "openvino",
        )
