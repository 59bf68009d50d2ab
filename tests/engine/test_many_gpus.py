"""Real networks compiled for every GPU generation of a fleet, in one run, without a GPU."""

from pathlib import Path

import pytest

from schemas.engine import FusionContract, TensorRtRtxConfig
from tasks.engine.build import build_engine
from tests.runtimes.qdq_graphs import export, quantize

OPTIONS = TensorRtRtxConfig(
    compute_capability="8.0",
    also_compute_capabilities=("8.6", "8.9", "12.0"),
    contract=FusionContract(convs_int8="all", float_convs=()),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "convolutions"), [("resnet18", 20), ("resnet50", 53), ("mobilenet_v2", 52)]
)
def test_one_plan_serves_ampere_ada_and_blackwell_with_every_convolution_in_int8(
    name: str, convolutions: int, tmp_path: Path
) -> None:
    graph = quantize(export(name, tmp_path), tmp_path / "int8.onnx")
    manifest, layers = build_engine(graph, "tensorrt_rtx", "int8", OPTIONS, tmp_path / "plan")
    assert len(layers.integer_convolutions) == convolutions
    assert layers.float_convolutions == ()
    assert [gate.detail for gate in manifest.contract if not gate.passed] == []
    assert manifest.options["also_compute_capabilities"] == ["8.6", "8.9", "12.0"]
    single = OPTIONS.model_copy(update={"also_compute_capabilities": ()})
    build_engine(graph, "tensorrt_rtx", "int8", single, tmp_path / "alone")
    # A generation that is compiled for leaves something in the plan.
    assert (tmp_path / "plan").read_bytes() != (tmp_path / "alone").read_bytes()
