"""Calibration on a GPU gives the scales, and so the INT8 network, that the CPU gives."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizedMode
from schemas.job import Job
from tasks.calibrate.observe import observe
from tasks.datasets.dataset import Dataset
from tasks.models.eager import convert_with_table

pytestmark = pytest.mark.gpu

Clothes = Callable[[str], Dataset]


def images(dataset: Dataset, count: int) -> list[Tensor]:
    indices = np.arange(count, dtype=np.int64)
    return [torch.from_numpy(batch.images) for batch in dataset.batches(64, indices)]


def calibrated(
    job: Job,
    network: nn.Module,
    batches: list[Tensor],
    device: str,
    observer: str,
    mode: QuantizedMode = "eager",
) -> CalibrationTable:
    config = job.quantization.model_copy(update={"observer": observer, "mode": mode})
    return observe(network, batches, config, images_sha256="0" * 64, device=device)


@pytest.mark.parametrize("mode", ["eager", "fx", "pt2e"])
@pytest.mark.parametrize(
    ("observer", "tolerance"),
    [
        ("minmax", 1e-5),
        ("moving_average", 1e-5),
        ("histogram", 1e-2),
        ("percentile", 1e-2),
        ("mse", 1e-2),
        ("entropy", 1e-2),
    ],
)
def test_scales_are_those_of_the_cpu(
    job: Job,
    network: nn.Module,
    clothes: Clothes,
    observer: str,
    tolerance: float,
    mode: QuantizedMode,
) -> None:
    batches = images(clothes("train"), 512)
    cpu = calibrated(job, network, batches, "cpu", observer, mode)
    gpu = calibrated(job, network, batches, "cuda", observer, mode)
    assert len(cpu.tensors) > 20
    assert gpu.tensors.keys() == cpu.tensors.keys()
    for name, entry in cpu.tensors.items():
        assert gpu.tensors[name].zero_point == entry.zero_point
        assert gpu.tensors[name].scale == pytest.approx(entry.scale, rel=tolerance), name


def test_the_int8_network_answers_alike(job: Job, network: nn.Module, clothes: Clothes) -> None:
    batches = images(clothes("train"), 512)
    answers, right = [], []
    test = clothes("test")
    indices = np.arange(2000, dtype=np.int64)
    labels = torch.from_numpy(test.labels[indices])
    for device in ("cpu", "cuda"):
        table = calibrated(job, network, batches, device, job.quantization.observer)
        int8 = convert_with_table(network, job.quantization, table)
        with torch.inference_mode():
            answer = torch.cat([int8(batch).argmax(1) for batch in images(test, 2000)])
        answers.append(answer)
        right.append((answer == labels).float().mean().item())
    assert (answers[0] == answers[1]).float().mean() >= 0.99
    assert min(right) >= 0.92
