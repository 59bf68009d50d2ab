"""Every baseline that is timed computes the network it is named after."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torchvision

pytestmark = pytest.mark.gpu

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_baselines.py"


@pytest.fixture(scope="module")
def baselines() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_baselines", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_baselines"] = module
    spec.loader.exec_module(module)
    return module


def test_each_way_of_running_gives_the_logits_of_float32(baselines: ModuleType) -> None:
    rng = np.random.default_rng(3)
    batch = rng.standard_normal((8, 3, 32, 32), np.float32)
    model = torchvision.models.resnet18(num_classes=10).eval()
    sessions = baselines.contenders(model, batch, compiled=False)
    # Other images than those that the graphs were captured with.
    other = rng.standard_normal((8, 3, 32, 32), np.float32)
    expected = baselines.CudaSession(model.cuda(), baselines.Form("float32")).infer(other)
    for name, session in sessions.items():
        error = np.linalg.norm(session.infer(other) - expected) / np.linalg.norm(expected)
        assert error < (1e-4 if session.form.name == "float32" else 1e-2), name
