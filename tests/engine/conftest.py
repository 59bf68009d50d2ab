"""Graphs that real compilers get, made by the runtimes' own test code."""

from pathlib import Path

import pytest

from tests.runtimes.qdq_graphs import export, quantize


@pytest.fixture(scope="session")
def float_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export("resnet18", tmp_path_factory.mktemp("graphs"))


@pytest.fixture(scope="session")
def int8_graph(float_graph: Path) -> Path:
    return quantize(float_graph, float_graph.with_name("int8.onnx"))


@pytest.fixture(scope="session")
def cut_graph(float_graph: Path) -> Path:
    """A Q/DQ between every conv and the Add that it feeds, as PyTorch's exporter leaves them."""
    return quantize(float_graph, float_graph.with_name("cut.onnx"), cut_adds=True)
