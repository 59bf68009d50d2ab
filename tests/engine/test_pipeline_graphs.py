"""Graphs as this product's own surgery leaves them, in the compilers that get them."""

from pathlib import Path

import onnx
import pytest
import torch
import torchvision

from schemas.base import Target
from schemas.convert import QuantizationConfig
from schemas.engine import FusionContract, OpenVinoConfig, TensorRtRtxConfig
from schemas.export import ExportConfig
from tasks.calibrate.observe import observe
from tasks.engine.build import build_engine
from tasks.export.to_onnx import export_onnx
from tasks.models.eager import convert_with_table
from tasks.models.quiet import quiet
from tasks.runtimes.onnx_file import precision_of
from tasks.surgery.repair import repair

CONTRACT = FusionContract(convs_int8="all", float_convs=(), standalone_adds=0, max_kernels=40)


def raw_resnet18(folder: Path, opset: int) -> onnx.ModelProto:
    torch.manual_seed(0)
    with quiet():
        model = torchvision.models.quantization.resnet18(weights=None, quantize=False).eval()
    config = QuantizationConfig(observer="minmax")
    table = observe(model, [torch.randn(8, 3, 32, 32)], config, images_sha256="0" * 64)
    int8 = convert_with_table(model, config, table)
    export_onnx(int8, (3, 32, 32), ExportConfig(opset=opset), folder / "raw.onnx")
    return onnx.load(folder / "raw.onnx")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return raw_resnet18(tmp_path_factory.mktemp("raw"), 17)


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("tensorrt_rtx", TensorRtRtxConfig(contract=CONTRACT)),
        ("openvino", OpenVinoConfig(contract=FusionContract(convs_int8="all"))),
    ],
)
def test_repaired_resnet18_keeps_its_contract(
    raw: onnx.ModelProto,
    tmp_path: Path,
    target: Target,
    options: TensorRtRtxConfig | OpenVinoConfig,
) -> None:
    repaired, _ = repair(raw, target)
    onnx.save(repaired, tmp_path / "repaired.onnx")
    manifest, _ = build_engine(
        tmp_path / "repaired.onnx", target, "int8", options, tmp_path / "plan"
    )
    assert manifest.contract
    assert [gate.detail for gate in manifest.contract if not gate.passed] == []


def test_int8_with_float16_for_the_rest(tmp_path: Path) -> None:
    repaired, _ = repair(raw_resnet18(tmp_path, 19), "tensorrt_rtx", "int8+fp16")
    graph = tmp_path / "repaired.onnx"
    onnx.save(repaired, graph)
    assert precision_of(graph) == "int8+fp16"
    manifest, layers = build_engine(
        graph,
        "tensorrt_rtx",
        "int8+fp16",
        TensorRtRtxConfig(contract=FusionContract(convs_int8="all")),
        tmp_path / "plan",
    )
    assert [gate.passed for gate in manifest.contract] == [True]
    types = {dtype for layer in layers.layers for dtype in layer.output_dtypes}
    assert "float16" in types
