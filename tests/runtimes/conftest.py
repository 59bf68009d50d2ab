"""ResNet-18 as ONNX, float and quantized, shared by the tests of all engines."""

from pathlib import Path

import pytest

from tests.runtimes.qdq_graphs import export, quantize

FAKES = Path(__file__).parent / "fakes"


@pytest.fixture(scope="session")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export("resnet18", tmp_path_factory.mktemp("graphs"))


@pytest.fixture(scope="session")
def resnet18_int8(resnet18: Path) -> Path:
    return quantize(resnet18, resnet18.with_name("resnet18-int8.onnx"))


@pytest.fixture
def fake_tensorrt(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Lets the worker process import ``tensorrt_fake``; set FAKE_TENSORRT to what goes wrong."""
    monkeypatch.setenv("PYTHONPATH", str(FAKES))
    return monkeypatch
