"""Train the CIFAR-10 jobs on a GPU, then quantize them with and without further training.

    python benchmarks/train_gpu.py jobs/resnet18-cifar10.yaml --images cifar10.tar.xz --out results

Trains one job's network as its ``train`` section says, writes the checkpoint in half precision in
pieces of 15 MB (``cat NAME.safetensors.part* > NAME.safetensors`` joins them), calibrates the same
images on the CPU and on the GPU with every observer, and compares post-training quantization with
quantization-aware training (QAT): top-1 of PyTorch's INT8 kernels over the whole test set. All
figures go to NAME.json, whether or not the rest of the run succeeds.

Needs torch, torchvision, numpy, Pillow, pydantic, PyYAML and safetensors; no engine and no Prefect.
"""

import argparse
import json
import logging
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from torch import nn
from torch.ao.quantization import (
    FakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    QConfig,
    convert,
    prepare_qat,
)

from flows.jobfile import load_job
from schemas.calibrate import CalibrationTable
from schemas.job import Job
from schemas.train import TrainConfig
from tasks.calibrate.observe import observe
from tasks.calibrate.sample import draw
from tasks.datasets.dataset import Dataset, Indices
from tasks.datasets.open import open_dataset
from tasks.models.build import build_model
from tasks.models.eager import convert_with_table, quiet
from tasks.models.weights import load_weights, save_weights
from tasks.train.train import train

PIECE_BYTES = 15_000_000
log = logging.getLogger("enginesmith")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("job", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="image folder or tar")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="use this checkpoint, do not train")
    parser.add_argument("--qat-epochs", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    images = ["data.cifar10=null", f"data.image_folder.path={options.images.absolute()}"]
    job = load_job(options.job, [*images, *options.overrides])
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"job": job.name, "torch": torch.__version__}
    try:
        measure(job, options, results)
    finally:
        file = options.out / f"{job.name}.json"
        file.write_text(json.dumps(results, indent=2) + "\n")
        print(file.read_text())


def measure(job: Job, options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Everything in turn; each figure is in ``results`` as soon as it is known."""
    started = time.perf_counter()
    train_set, test_set = (open_dataset(job.data, split) for split in ("train", "test"))
    results["decode_s"] = time.perf_counter() - started
    assert job.train is not None, "the job has no train section"

    checkpoint = options.weights
    if checkpoint is None:
        started = time.perf_counter()
        model, history = train(lambda: network(job), train_set, test_set, job.train)
        results["train_s"] = time.perf_counter() - started
        results["history"] = history.model_dump()
        checkpoint = Path(tempfile.mkdtemp()) / f"{job.name}.safetensors"
        save_weights(model, checkpoint, torch.float16)
        write_pieces(checkpoint, options.out)
    model = network(job)
    # From here on the weights are those of the file, rounded to half precision.
    load_weights(model, checkpoint)
    model.eval()
    results["top1_float32"] = top1(model, test_set)
    log.info("FP32 top-1 %.4f", results["top1_float32"])

    indices, digest = draw(train_set, test_set, job.calibration)
    compare_calibrations(job, model, train_set, indices, results)
    table = calibrate(job, model, train_set, indices, "cpu", job.quantization.observer)[0]
    int8 = convert_with_table(model, job.quantization, table)
    results["top1_int8_ptq"] = top1(int8, test_set)
    log.info("INT8 top-1, post-training: %.4f (images %s)", results["top1_int8_ptq"], digest[:12])

    if options.qat_epochs:
        started = time.perf_counter()
        fine = qat_config(job.train, options.qat_epochs)
        trained, history = train(lambda: qat_network(job, checkpoint), train_set, test_set, fine)
        results["qat_s"] = time.perf_counter() - started
        results["qat_history"] = history.model_dump()
        with quiet():
            int8 = convert(trained.eval())
        results["top1_int8_qat"] = top1(int8, test_set)
        log.info("INT8 top-1, QAT: %.4f", results["top1_int8_qat"])


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
    job: Job, model: nn.Module, dataset: Dataset, indices: Indices, results: dict[str, Any]
) -> None:
    """Scales of the GPU against the CPU's, and images per second of each."""
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    results["calibration"] = {}
    for observer in ("minmax", "moving_average", "histogram"):
        tables = {}
        entry: dict[str, Any] = {}
        for device in devices:
            # Once unmeasured: the first call on a GPU loads its kernels.
            calibrate(job, model, dataset, indices[:64], device, observer)
            tables[device], rate = calibrate(job, model, dataset, indices, device, observer)
            entry[f"{device}_images_per_second"] = rate
        if len(devices) == 2:
            cpu, gpu = (tables[device].tensors for device in devices)
            assert cpu.keys() == gpu.keys()
            difference = [abs(gpu[name].scale / cpu[name].scale - 1) for name in cpu]
            entry["scales"] = len(difference)
            entry["max_relative_scale_difference"] = max(difference)
            entry["median_relative_scale_difference"] = float(np.median(difference))
        results["calibration"][observer] = entry
        log.info("calibration, %s: %s", observer, entry)


class TrainingFakeQuantize(FakeQuantize):
    """Fake quantization whose ranges follow training images only, never those it is judged on."""

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.enable_observer(mode)
        return self


def qat_network(job: Job, checkpoint: Path) -> nn.Module:
    """The trained network with its weights and activations rounded to the INT8 grid as it runs."""
    torch.backends.quantized.engine = job.quantization.kernels
    model = network(job)
    load_weights(model, checkpoint)
    model.train()
    model.fuse_model(is_qat=True)  # type: ignore[operator]
    model.qconfig = QConfig(  # type: ignore[assignment]
        activation=TrainingFakeQuantize.with_args(
            observer=MovingAverageMinMaxObserver,
            dtype=torch.quint8,
            qscheme=torch.per_tensor_symmetric,
            quant_min=0,
            quant_max=255,
        ),
        # Weights are there from the start, and their range is that of the moment.
        weight=FakeQuantize.with_args(
            observer=MovingAveragePerChannelMinMaxObserver,
            averaging_constant=1.0,
            dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric,
            quant_min=-127,
            quant_max=127,
        ),
    )
    with quiet():
        return prepare_qat(model)


def qat_config(config: TrainConfig, epochs: int) -> TrainConfig:
    """A short run at a fraction of the learning rate; float32, as fake quantization has to be."""
    rate = config.learning_rate / 20
    changes = {"epochs": epochs, "learning_rate": rate, "precision": "float32"}
    return config.model_copy(update=changes)


def write_pieces(file: Path, folder: Path) -> None:
    """Write a file in numbered pieces of at most PIECE_BYTES, which ``cat`` joins in order."""
    data = file.read_bytes()
    for number in range(math.ceil(len(data) / PIECE_BYTES)):
        piece = data[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]
        (folder / f"{file.name}.part{number}").write_bytes(piece)


if __name__ == "__main__":
    main()
