"""Small networks taken all the way once."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import onnx
import pytest
import torch
from torch import Tensor, nn

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig
from tasks.models.exporter import write_onnx
from tasks.models.pt2e.quantizer import Pt2eQuantizer
from tests.models.pt2e.networks import Attention, Joined, Residual, warmed

MINMAX = QuantizationConfig(mode="pt2e", observer="minmax")
EXAMPLE = torch.zeros(2, 3, 16, 16)


@dataclass(frozen=True)
class Quantized:
    """A network, what calibration saw, what became of it, and its export."""

    model: nn.Module
    images: Tensor
    prepared: nn.Module
    table: CalibrationTable
    int8: nn.Module
    onnx: onnx.ModelProto


@pytest.fixture(scope="session")
def images() -> Tensor:
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def _all_the_way(network: Callable[[], nn.Module], images: Tensor) -> Quantized:
    torch.manual_seed(0)
    model = warmed(network(), images)
    ways = Pt2eQuantizer()
    prepared = ways.prepare(model, MINMAX, EXAMPLE)
    with torch.inference_mode():
        prepared(images)
    table = CalibrationTable(images=8, images_sha256="", tensors=ways.read_ranges(prepared))
    int8 = ways.convert_with_table(model, MINMAX, table, EXAMPLE)
    file = io.BytesIO()
    write_onnx(int8, EXAMPLE, file, ways.exporter, opset=17, dynamic_batch=True)
    exported = onnx.load_model_from_string(file.getvalue())
    return Quantized(model, images, prepared, table, int8, exported)


@pytest.fixture(scope="session")
def residual(images: Tensor) -> Quantized:
    return _all_the_way(Residual, images)


@pytest.fixture(scope="session")
def joined(images: Tensor) -> Quantized:
    return _all_the_way(Joined, images)


@pytest.fixture(scope="session")
def attention(images: Tensor) -> Quantized:
    return _all_the_way(Attention, images)
