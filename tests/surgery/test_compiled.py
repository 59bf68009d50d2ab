"""What the real compilers make of repaired graphs; none of it needs a GPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from schemas.engine import LayerTable, TensorRtRtxConfig
from tasks.surgery.repair import repair
from tests.surgery.conftest import to_onnx


def compiled(model: onnx.ModelProto, folder: Path, precision: Any) -> LayerTable:
    from tasks.runtimes.tensorrt_rtx import TensorRtRtxRuntime

    pytest.importorskip("tensorrt_rtx")
    repaired, _ = repair(model, "tensorrt_rtx", precision)
    onnx.save(repaired, folder / "graph.onnx")
    runtime = TensorRtRtxRuntime()
    options = TensorRtRtxConfig()
    return runtime.build(folder / "graph.onnx", folder / "plan", options).layers


@pytest.mark.parametrize("precision", ["int8", "int8+fp16"])
def test_resnet18_needs_40_kernels_and_no_float_convolution(
    resnet18: Any, tmp_path: Path, precision: str
) -> None:
    layers = compiled(resnet18.model, tmp_path, precision)
    assert layers.kernels <= 40
    assert len(layers.integer_convolutions) == 20
    assert layers.float_convolutions == ()


def test_mobilenet_v2_has_no_float_convolution(
    exported: Callable[[str], Any], tmp_path: Path
) -> None:
    layers = compiled(exported("mobilenet_v2").model, tmp_path, "int8")
    assert len(layers.integer_convolutions) == 52
    assert layers.float_convolutions == ()


class Noise(CalibrationDataReader):
    def __init__(self) -> None:
        self.images = iter(np.random.default_rng(0).normal(size=(8, 1, 3, 16, 16)))

    def get_next(self) -> dict[str, Any] | None:
        images = next(self.images, None)
        return None if images is None else {"input": images.astype(np.float32)}


def test_a_gelu_whose_1_and_half_were_quantized_too_is_built(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.GELU(), torch.nn.Conv2d(8, 8, 3)]
    model = to_onnx(torch.nn.Sequential(*layers).eval(), torch.randn(1, 3, 16, 16), dynamic=False)
    kinds = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True}
    quantize_static(model, tmp_path / "int8.onnx", Noise(), **kinds, extra_options=symmetric)
    built = compiled(onnx.load(tmp_path / "int8.onnx"), tmp_path, "int8")
    assert len(built.integer_convolutions) == 2
