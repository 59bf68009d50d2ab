"""Train the CIFAR-10 jobs on a GPU, then quantize them with and without further training.

    python benchmarks/train_gpu.py jobs/resnet18-cifar10.yaml --images cifar10.tar.xz --out results

Trains one job's network as its ``train`` section says, writes the checkpoint in half precision in
pieces of 15 MB (``cat NAME.safetensors.part* > NAME.safetensors`` joins them), calibrates the same
images on the CPU and on the GPU with every observer, and compares post-training quantization with
quantization-aware training (QAT): top-1 of PyTorch's INT8 kernels over the whole test set. Each
figure is in NAME.json as soon as it is known, so that a run that is cut off leaves what it had.

--train-seconds bounds the training on a GPU lent by the minute: two unmeasured epochs tell how many
fit, and the job's ``train.epochs`` stays the most that are run.

Needs torch, torchvision, numpy, Pillow, pydantic, PyYAML and safetensors; no engine and no Prefect.
"""

import argparse
import copy
import json
import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from qat_network import qat_config, qat_network
from torch import nn
from torch.ao.quantization import convert

from flows.jobfile import load_job
from schemas.calibrate import CalibrationTable
from schemas.job import Job
from schemas.train import TrainConfig
from tasks.calibrate.observe import observe
from tasks.datasets.dataset import Dataset, Indices
from tasks.datasets.open import open_dataset
from tasks.datasets.sample import draw
from tasks.models.build import build_model
from tasks.models.eager import convert_with_table, prepare_for_calibration
from tasks.models.integer_modules import read_ranges
from tasks.models.quiet import quiet
from tasks.models.weights import load_weights, save_weights
from tasks.profiling.machine import describe_machine
from tasks.train.train import train

PIECE_BYTES = 15_000_000
T = TypeVar("T")
log = logging.getLogger("enginesmith")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("job", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="image folder or tar")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="use this checkpoint, do not train")
    parser.add_argument("--qat-epochs", type=int, default=4)
    parser.add_argument("--train-seconds", type=float, help="as many epochs as fit, at most")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    images = ["data.cifar10=null", f"data.image_folder.path={options.images.absolute()}"]
    job = load_job(options.job, [*images, *options.overrides])
    options.out.mkdir(parents=True, exist_ok=True)
    results = Results(options.out / f"{job.name}.json")
    results.add(job=job.name, torch=torch.__version__, machine=describe_machine())
    measure(job, options, results)
    print(results.file.read_text())


class Results:
    """A JSON file that is written again at each figure."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.figures: dict[str, Any] = {}

    def add(self, **figures: Any) -> None:
        self.figures |= figures
        self.file.write_text(json.dumps(self.figures, indent=2) + "\n")
        for name, value in figures.items():
            log.info("%s: %s", name, value if not isinstance(value, dict) else json.dumps(value))


def measure(job: Job, options: argparse.Namespace, results: Results) -> None:
    """Everything in turn, what is hardest to have again first."""
    started = time.perf_counter()
    train_set, test_set = (open_dataset(job.data, split) for split in ("train", "test"))
    images = sum(len(part) for part in (train_set, test_set) if part.in_memory is not None)
    results.add(decode_s=time.perf_counter() - started, images=images)
    assert job.train is not None, "the job has no train section"

    checkpoint = options.weights
    if checkpoint is None:
        config = job.train
        if options.train_seconds:
            config = fitting(job, train_set, test_set, options.train_seconds)
        started = time.perf_counter()
        model, history = train(lambda: network(job), train_set, test_set, config)
        results.add(train_s=time.perf_counter() - started)
        results.add(train=config.model_dump(mode="json"), history=history.model_dump())
        checkpoint = Path(tempfile.mkdtemp()) / f"{job.name}.safetensors"
        save_weights(model, checkpoint, torch.float16)
        write_pieces(checkpoint, options.out)
    model = network(job)
    # From here on the weights are those of the file, rounded to half precision.
    load_weights(model, checkpoint)
    model.eval()
    results.add(top1_float32=top1(model, test_set))

    indices, digest = draw(train_set, test_set, job.calibration)
    table = calibrate(job, model, train_set, indices, "cpu", job.quantization.observer)[0]
    int8 = convert_with_table(model, job.quantization, table)
    results.add(top1_int8_ptq=top1(int8, test_set), calibration_images_sha256=digest)
    if torch.cuda.is_available():
        table = calibrate(job, model, train_set, indices, "cuda", job.quantization.observer)[0]
        int8 = convert_with_table(model, job.quantization, table)
        results.add(top1_int8_ptq_calibrated_on_gpu=top1(int8, test_set))

    if options.qat_epochs:
        started = time.perf_counter()
        fine = qat_config(job.train, options.qat_epochs)
        trained, history = train(lambda: qat_network(job, checkpoint), train_set, test_set, fine)
        results.add(qat_s=time.perf_counter() - started, qat_history=history.model_dump())
        with quiet():
            int8 = convert(trained.eval())
        results.add(top1_int8_qat=top1(int8, test_set))
    compare_calibrations(job, model, train_set, indices, results)


def fitting(job: Job, train_set: Dataset, test_set: Dataset, seconds: float) -> TrainConfig:
    """The job's training with as many epochs as fit in ``seconds``; the first of two warms up."""
    assert job.train is not None
    trial = job.train.model_copy(update={"epochs": 2})
    started = time.perf_counter()
    _, history = train(lambda: network(job), train_set, test_set, trial)
    left = seconds - (time.perf_counter() - started)
    # The test images after each epoch come on top of its own seconds.
    epochs = min(job.train.epochs, int(left / (1.15 * history.epochs[-1].seconds)))
    return job.train.model_copy(update={"epochs": max(1, epochs)})


def network(job: Job) -> nn.Module:
    return build_model(job.model.factory, job.model.kwargs)


def top1(model: nn.Module, dataset: Dataset) -> float:
    """Share of right answers over the whole split, on the CPU."""
    right = 0
    with torch.inference_mode():
        for batch in dataset.batches(500):
            answers = model(torch.from_numpy(batch.images)).argmax(1).numpy()
            right += int((answers == batch.labels).sum())
    return right / len(dataset)


def calibrate(
    job: Job, model: nn.Module, dataset: Dataset, indices: Indices, device: str, observer: str
) -> tuple[CalibrationTable, float]:
    """The scales, and images per second with the images in memory already."""
    config = job.quantization.model_copy(update={"observer": observer})
    batches = [
        torch.from_numpy(batch.images)
        for batch in dataset.batches(job.calibration.batch_size, indices)
    ]
    started = time.perf_counter()
    table = observe(model, batches, config, images_sha256="0" * 64, device=device)
    return table, len(indices) / (time.perf_counter() - started)


def compare_calibrations(
    job: Job, model: nn.Module, dataset: Dataset, indices: Indices, results: Results
) -> None:
    """Scales of the GPU against the CPU's, images per second of each, and where the time goes."""
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    entries: dict[str, Any] = {}
    for observer in ("minmax", "moving_average", "histogram"):
        tables = {}
        entry: dict[str, Any] = {}
        for device in devices:
            # Once unmeasured: the first call on a GPU loads its kernels.
            calibrate(job, model, dataset, indices[:64], device, observer)
            tables[device], rate = calibrate(job, model, dataset, indices, device, observer)
            entry[f"{device}_images_per_second"] = rate
            entry[f"{device}_parts"] = calibration_parts(
                job, model, dataset, indices, device, observer
            )
        if len(devices) == 2:
            cpu, gpu = (tables[device].tensors for device in devices)
            assert cpu.keys() == gpu.keys()
            difference = [abs(gpu[name].scale / cpu[name].scale - 1) for name in cpu]
            entry["scales"] = len(difference)
            entry["max_relative_scale_difference"] = max(difference)
            entry["median_relative_scale_difference"] = float(np.median(difference))
        entries[observer] = entry
        results.add(calibration=entries)


@torch.inference_mode()
def calibration_parts(
    job: Job, model: nn.Module, dataset: Dataset, indices: Indices, device: str, observer: str
) -> dict[str, float]:
    """Milliseconds of each part of a calibration, images in memory and kernels loaded already."""
    config = job.quantization.model_copy(update={"observer": observer})
    parts: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        if device == "cuda":
            torch.cuda.synchronize()
        parts[name] = 1000 * (time.perf_counter() - started)
        return result

    size = job.calibration.batch_size
    batches = timed("normalise_ms", lambda: list(dataset.batches(size, indices)))
    images = timed(
        "copy_to_device_ms",
        lambda: [torch.from_numpy(batch.images).to(device) for batch in batches],
    )
    prepared = timed("prepare_ms", lambda: prepare_for_calibration(model, config).to(device))
    plain = copy.deepcopy(model).to(device)
    for batch in images:
        plain(batch)
    timed("network_ms", lambda: [plain(batch) for batch in images])
    timed("network_with_observers_ms", lambda: [prepared(batch) for batch in images])
    timed("scales_ms", lambda: read_ranges(prepared.cpu()))
    return parts


def write_pieces(file: Path, folder: Path) -> None:
    """Write a file in numbered pieces of at most PIECE_BYTES, which ``cat`` joins in order."""
    data = file.read_bytes()
    for number in range(math.ceil(len(data) / PIECE_BYTES)):
        piece = data[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]
        (folder / f"{file.name}.part{number}").write_bytes(piece)


if __name__ == "__main__":
    main()
