"""Quantization-aware training (QAT) against post-training quantization (PTQ) of one checkpoint.

    python benchmarks/qat.py jobs/resnet18-cifar10.yaml --images FILE --weights W --out DIR
        --seeds 0 1 2 --setting distillation=1 --setting "distillation=0 learning_rate=0.001"

Trains on with each setting of the job's ``finetune`` section and each seed, which also draws the
calibration images, through the stage's own code. Over the whole test set: top-1 of FP32, of
rounding simulated and of PyTorch's INT8 kernels on the CPU, and how many images rounding has
answered other than FP32, each before and after. The best weights of every run go to
NAME-SETTING-SEED.z, as their difference to W, which has to be in half precision;
``benchmarks/qat_engines.py`` takes them up where OpenVINO is.

No setting is chosen by the test images: all of them are printed. Every row is written at once, and
--stop-after starts no run after so many seconds, for a GPU lent by the minute.

Needs torch, torchvision, numpy, Pillow, pydantic, PyYAML and safetensors; no engine and no Prefect.
"""

import argparse
import copy
import json
import logging
import sys
import time
import zlib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from torch import Tensor, nn

from flows.jobfile import load_job
from schemas.finetune import FinetuneConfig
from schemas.job import Job
from tasks.calibrate.observe import observe
from tasks.datasets.dataset import Dataset
from tasks.datasets.open import open_dataset
from tasks.datasets.sample import draw
from tasks.models.build import build_model
from tasks.models.choose import example_of
from tasks.models.quantizer import quantizer
from tasks.models.weights import load_weights
from tasks.train.finetune import finetune
from tasks.train.images import logits_of
from tasks.train.rounding import simulate_rounding

Sets = tuple[Dataset, Dataset]
"""Of training and of test images."""
Answers = tuple[Tensor, Tensor]

log = logging.getLogger("enginesmith")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="image folder or tar")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--setting", action="append", dest="settings", help="of finetune")
    parser.add_argument("--stop-after", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    started = time.perf_counter()
    options.out.mkdir(parents=True, exist_ok=True)
    job = job_of(options, "", 0)
    sets = open_dataset(job.data, "train"), open_dataset(job.data, "test")
    float32 = answers(network(job), sets[1])
    rows: list[dict[str, Any]] = []
    # Seeds outside: a run that is cut off has every setting once.
    for seed in options.seeds:
        before = start(job_of(options, "", seed), sets, float32)
        for setting in options.settings or [""]:
            if time.perf_counter() - started > options.stop_after:
                continue
            run = time.perf_counter()
            changed = job_of(options, setting, seed)
            row = train_on(changed, setting, seed, sets, float32, options.out)
            rows.append({**before, **row, "seconds": time.perf_counter() - run})
            file = options.out / f"{job.name}-{'-'.join(map(str, options.seeds))}.json"
            file.write_text(json.dumps(rows, indent=1) + "\n")
            log.info("%s", {k: v for k, v in rows[-1].items() if k != "summary"})


def job_of(options: argparse.Namespace, setting: str, seed: int) -> Job:
    """The job with a setting; the seed is that of training and of calibration."""
    overrides = ["data.cifar10=null", f"data.image_folder.path={options.images.absolute()}"]
    overrides += [f"model.weights={options.weights.absolute()}", f"calibration.seed={seed}"]
    changes = [f"finetune.{part}" for part in (*setting.split(), f"seed={seed}")]
    return load_job(options.job, [*overrides, *options.overrides, *changes])


def start(job: Job, sets: Sets, float32: Answers) -> dict[str, Any]:
    """FP32 and PTQ."""
    return {
        "job": job.name,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "float32": top1(*float32),
        "ptq_int8": top1_int8(job, network(job), *sets),
    }


def train_on(
    job: Job, setting: str, seed: int, sets: Sets, float32: Answers, out: Path
) -> dict[str, Any]:
    """One run."""
    train_set, test_set = sets
    config = job.finetune
    assert isinstance(config, FinetuneConfig)

    def rounding() -> nn.Module:
        return simulate_rounding(network(job), calibration_batches(job, *sets), job.quantization)

    wanted, labels = float32
    before, _ = answers(rounding(), test_set)
    tuned, summary = finetune(rounding, network(job), train_set, config)
    file = out / f"{job.name}-{setting.replace(' ', ',')}-{seed}.z"
    write_difference(network(job), tuned, file)
    # What is measured is what was written, in half precision.
    tuned = network(job)
    read_difference(tuned, file)
    plain = copy.deepcopy(tuned)
    simulated = simulate_rounding(plain, calibration_batches(job, *sets), job.quantization)
    after, _ = answers(simulated, test_set)
    return {
        "setting": setting,
        "seed": seed,
        "summary": summary.model_dump(mode="json"),
        "simulated_before": top1(before, labels),
        "simulated_after": top1(after, labels),
        "other_than_float32_before": int((before != wanted).sum()),
        "other_than_float32_after": int((after != wanted).sum()),
        "qat_float32": top1(*answers(tuned, test_set)),
        "qat_int8": top1_int8(job, tuned, train_set, test_set),
    }


def network(job: Job) -> nn.Module:
    model = build_model(job.model.factory, job.model.kwargs)
    assert job.model.weights is not None
    load_weights(model, job.model.weights)
    return model.eval()


def calibration_batches(job: Job, train_set: Dataset, test_set: Dataset) -> list[Tensor]:
    indices, _ = draw(train_set, test_set, job.calibration)
    batches = train_set.batches(job.calibration.batch_size, indices)
    return [torch.from_numpy(batch.images) for batch in batches]


def answers(model: nn.Module, images: Dataset) -> Answers:
    """A network's classes and the labels: int64[N] each, on the CPU as the network is afterwards.

    Computed on the GPU where there is one.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    logits, labels = logits_of(model.to(device), images)
    model.cpu()
    return logits.argmax(1).cpu(), labels.cpu()


def top1(found: Tensor, labels: Tensor) -> float:
    return (found == labels).double().mean().item()


def top1_int8(job: Job, model: nn.Module, train_set: Dataset, test_set: Dataset) -> float:
    """PyTorch's INT8 kernels, on the CPU."""
    mode = "eager" if job.quantization.mode == "auto" else job.quantization.mode
    config = job.quantization.model_copy(update={"mode": mode})
    table = observe(model, calibration_batches(job, train_set, test_set), config, images_sha256="")
    example = example_of(train_set.input_shape)
    int8 = quantizer(mode).convert_with_table(model, config, table, example)
    right = 0
    with torch.inference_mode():
        for batch in test_set.batches(500):
            answers = int8(torch.from_numpy(batch.images)).argmax(1).numpy()
            right += int((answers == batch.labels).sum())
    return right / len(test_set)


def write_difference(base: nn.Module, tuned: nn.Module, file: Path) -> None:
    """Half-precision weights as the difference of their bit patterns, which compresses."""
    new = tuned.state_dict()
    differences = [bits(new[name]) - bits(old) for name, old in base.state_dict().items()]
    data = np.concatenate(differences).tobytes()
    # High bytes together: nearly all of them are alike.
    planes = np.frombuffer(data, np.uint8).reshape(-1, 2).T
    file.write_bytes(zlib.compress(planes.tobytes(), 9))


def read_difference(model: nn.Module, file: Path) -> None:
    """Turn the checkpoint that ``write_difference`` started from into the tuned one, in place."""
    planes = np.frombuffer(zlib.decompress(file.read_bytes()), np.uint8).reshape(2, -1)
    data, place = np.ascontiguousarray(planes.T).reshape(-1).view(np.uint16), 0
    state = {}
    for name, value in model.state_dict().items():
        part = data[place : place + value.numel()]
        place += value.numel()
        new = (bits(value) + part).view(np.float16).astype(np.float32)
        state[name] = torch.from_numpy(new).reshape(value.shape).to(value.dtype)
    model.load_state_dict(state)


def bits(x: Tensor) -> "np.ndarray[Any, np.dtype[np.uint16]]":
    """Of a tensor in half precision, flat: uint16[n]."""
    return x.detach().cpu().numpy().astype(np.float16).reshape(-1).view(np.uint16)


if __name__ == "__main__":
    main()
