"""What the real compilers make of repaired graphs; none of it needs a GPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from schemas.engine import LayerTable, TensorRtRtxConfig
from tasks.surgery.repair import repair


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
