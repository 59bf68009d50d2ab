"""The FP16 baseline: half the bytes, the same answers but for rounding."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from schemas.engine import TensorRtRtxConfig
from schemas.errors import InputError
from tasks.engine.build import build_engine
from tasks.engine.half import to_half
from tasks.runtimes.onnx_file import precision_of
from tasks.runtimes.onnxruntime import OnnxRuntimeSession
from tests.runtimes.qdq_graphs import export


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_a_half_graph_answers_as_the_float_one(name: str, tmp_path: Path) -> None:
    graph = export(name, tmp_path)
    half = to_half(graph, tmp_path / "half.onnx")
    onnx.checker.check_model(onnx.load(half), full_check=True)
    assert half.stat().st_size < 0.52 * graph.stat().st_size
    images = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)
    before, after = (OnnxRuntimeSession(x) for x in (graph, half))
    assert [(x.name, x.dtype) for x in after.inputs + after.outputs] == [
        ("images", "float32"),
        ("logits", "float32"),
    ]
    expected = before.infer(images)
    error = np.abs(after.infer(images) - expected).max()
    assert 0 < error < 0.01 * np.abs(expected).max()


def test_a_float16_plan_of_the_float_graph(float_graph: Path, tmp_path: Path) -> None:
    options = TensorRtRtxConfig()
    manifest, layers = build_engine(
        float_graph, "tensorrt_rtx", "float16", options, tmp_path / "half.plan"
    )
    convolutions = [layer for layer in layers.layers if layer.is_convolution]
    assert len(convolutions) == 20
    assert {layer.input_dtypes[0] for layer in convolutions} == {"float16"}
    assert manifest.precision == "float16"
    assert manifest.plan_bytes < 0.52 * float_graph.stat().st_size


def test_a_quantized_graph_is_not_halved_here(int8_graph: Path, tmp_path: Path) -> None:
    assert precision_of(int8_graph) == "int8"
    with pytest.raises(InputError, match="--precision int8\\+fp16"):
        to_half(int8_graph, tmp_path / "half.onnx")
