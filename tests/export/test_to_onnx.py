"""Both exporters write the same interface, with the batch open or fixed."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from schemas.errors import InputError
from schemas.export import ExportConfig
from tasks.export.to_onnx import export_onnx
from tasks.models.quantizer import Exporter
from tests.models.prepare.networks import SHAPE, Residual, warmed


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_the_graph_takes_any_batch_and_answers_as_torch_does(
    exporter: Exporter, tmp_path: Path
) -> None:
    network = warmed(Residual())
    export_onnx(network, SHAPE, ExportConfig(), tmp_path / "net.onnx", exporter)
    session = ort.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert [x.name for x in session.get_inputs()] == ["images"]
    assert [x.name for x in session.get_outputs()] == ["logits"]
    for count in (1, 3):
        images = torch.randn(count, *SHAPE)
        with torch.inference_mode():
            expected = network(images).numpy()
        found = session.run(None, {"images": images.numpy()})[0]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_fixed_batch_is_fixed(tmp_path: Path) -> None:
    config = ExportConfig(dynamic_batch=False, batch_size=4)
    export_onnx(warmed(Residual()), SHAPE, config, tmp_path / "net.onnx")
    shape = onnx.load(tmp_path / "net.onnx").graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [4, *SHAPE]


class Fourier(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvals(x.mean(1)).real


def test_an_operator_without_onnx_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="export: Fourier does not export at opset 17") as error:
        export_onnx(Fourier(), SHAPE, ExportConfig(), tmp_path / "net.onnx")
    assert "\n" not in str(error.value)
