"""Options that let a plan run elsewhere or take other weights: what the real builder accepts here.

TensorRT for RTX poses as TensorRT, as in the runtimes' own tests; there is no GPU.
"""

import importlib
from pathlib import Path
from types import ModuleType

import onnx
import pytest

from schemas.engine import TensorRtConfig
from schemas.errors import InputError
from tasks.runtimes.gpu import find_gpu
from tasks.runtimes.trt.compiler import compile_plan
from tests.surgery.qdq_builder import Builder

FAKES = Path(__file__).parents[1] / "runtimes" / "fakes"


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FAKES))
    return importlib.import_module("tensorrt_fake")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    builder = Builder()
    model = builder.model(builder.conv(builder.pair("input", 0.1), 4, 8))
    onnx.save(model, tmp_path / "conv.onnx")
    return tmp_path / "conv.onnx"


def built(tensorrt: ModuleType, graph: Path, **options: object) -> bytes:
    plan = graph.with_suffix(".plan")
    config = TensorRtConfig.model_validate(options)
    compile_plan(tensorrt, graph, plan, config, lambda _: None)  # type: ignore[arg-type]
    return plan.read_bytes()


@pytest.mark.parametrize("level", ["ampere_plus", "same_compute_capability"])
def test_rtx_takes_every_level_of_hardware_compatibility_and_heeds_none(
    tensorrt: ModuleType, graph: Path, level: str
) -> None:
    assert built(tensorrt, graph, hardware_compatibility=level) == built(tensorrt, graph)


def test_a_version_compatible_plan_needs_the_lean_runtime_and_says_so(
    tensorrt: ModuleType, graph: Path
) -> None:
    with pytest.raises(InputError, match="install TensorRT's lean runtime") as caught:
        built(tensorrt, graph, version_compatible=True)
    assert "\n" not in str(caught.value)
    assert not graph.with_suffix(".plan").exists()


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_a_refittable_plan_of_rtx_needs_a_gpu_and_a_sparse_one_does_not(
    tensorrt: ModuleType, graph: Path
) -> None:
    assert built(tensorrt, graph, sparse_weights=True)
    with pytest.raises(InputError, match=r"cannot build conv\.onnx"):
        built(tensorrt, graph, refit=True)


@pytest.mark.parametrize("level", range(6))
def test_every_optimization_level_builds(tensorrt: ModuleType, graph: Path, level: int) -> None:
    assert built(tensorrt, graph, optimization_level=level, workspace_bytes=1 << 26)
