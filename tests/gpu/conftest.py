"""The quickstart's network and images, for claims about what a GPU does with them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from flows.jobfile import load_job
from schemas.job import Job
from tasks.datasets.dataset import Dataset
from tasks.datasets.fashion_mnist import DEBIAN_FOLDER
from tasks.datasets.open import open_dataset
from tasks.models.build import build_model
from tasks.models.weights import load_weights

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")


@pytest.fixture(scope="session")
def job() -> Job:
    return load_job(ROOT / "jobs" / "quickstart.yaml")


@pytest.fixture(scope="session")
def network(job: Job) -> nn.Module:
    model = build_model(job.model.factory, job.model.kwargs)
    assert job.model.weights is not None
    load_weights(model, job.model.weights)
    return model.eval()


@pytest.fixture(scope="session")
def clothes(job: Job) -> Callable[[str], Dataset]:
    if not DEBIAN_FOLDER.is_dir():
        pytest.skip("dataset-fashion-mnist is not installed: make data")
    return lambda split: open_dataset(job.data, split)  # type: ignore[arg-type]
