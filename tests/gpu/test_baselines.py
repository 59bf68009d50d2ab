"""Every PyTorch baseline that is timed on a GPU computes the network it is named after."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torchvision

from schemas.profiling import Baseline
from tasks.profiling.baselines import baseline_contenders
from tasks.runtimes.torch_cuda import Form, TorchCudaSession

pytestmark = pytest.mark.gpu

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_baselines.py"
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def baselines() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_baselines", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_baselines"] = module
    spec.loader.exec_module(module)
    return module


def images(count: int) -> np.ndarray:  # type: ignore[type-arg]
    return RNG.standard_normal((count, 3, 32, 32), np.float32)


def test_each_way_of_running_gives_the_logits_of_float32(baselines: ModuleType) -> None:
    model = torchvision.models.resnet18(num_classes=10).eval()
    found = baselines.ways(model, compiled=False)
    for way in found.values():
        way.session.time(images(8), 2)
    # Other images than those that the graphs were captured with.
    other = images(8)
    expected = TorchCudaSession(model.cuda(), Form("float32")).infer(other)
    for name, way in found.items():
        error = np.linalg.norm(way.session.infer(other) - expected) / np.linalg.norm(expected)
        assert error < (1e-4 if way.session.form.name == "float32" else 1e-2), name


def test_the_jobs_baselines_run_on_the_gpu_and_say_what_does_not(tmp_path: Path) -> None:
    model = torchvision.models.resnet18(num_classes=10).eval()
    wanted: tuple[Baseline, ...] = (
        "torch", "torch_float16", "torch_channels_last", "torch_graph", "onnxruntime"
    )  # fmt: skip
    found, notes = baseline_contenders(
        wanted, lambda: model, tmp_path / "unused.onnx", tmp_path, on_gpu=True
    )
    assert len(found) == 4
    assert "onnxruntime is left out: it runs on the CPU" in notes[0]
    batch = images(4)
    answers = [contender.open(0).infer(batch) for contender in found]
    for answer in answers[1:]:
        assert np.linalg.norm(answer - answers[0]) < 1e-2 * np.linalg.norm(answers[0])


def test_phases_and_calls_are_of_the_same_work() -> None:
    model = torchvision.models.resnet18(num_classes=10).eval()
    form = Form("float32", graph=True)
    session = TorchCudaSession(form.network(model), form)
    batch = images(8)
    session.time(batch, 100)
    parts = session.time_phases(batch, 100)
    whole = float(np.median(session.time(batch, 100)))
    on_gpu = float(np.median(parts.h2d + parts.compute + parts.d2h))
    assert 0.5 * whole < on_gpu < whole + 0.1
    session.close()
