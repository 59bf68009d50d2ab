"""OpenVINO's INT8 engines after quantization-aware training (QAT) and without it (PTQ).

    python benchmarks/qat_engines.py jobs/resnet18-cifar10.yaml --images FILE --weights W
        --tuned A-0.z B-1.z

takes up what ``benchmarks/qat.py`` wrote. Each file's seed, the last part of its name, draws the
calibration images of both its engines. Points of top-1 lost against the FP32 checkpoint W over the
whole test set, mean over the seeds, with 95 % intervals over the test images, paired.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from accuracy import SESSIONS, difference, drop, ours, right
from qat import job_of, network, read_difference
from torch import nn

from schemas.export import ExportConfig
from schemas.job import Job
from tasks.datasets.dataset import Dataset
from tasks.datasets.open import open_dataset
from tasks.datasets.sample import draw
from tasks.evaluate.rank import mean_drop_interval
from tasks.export.to_onnx import export_onnx
from tasks.runtimes.protocol import Session

Opening = Callable[[Path], Session]

log = logging.getLogger("enginesmith")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="image folder or tar")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--tuned", type=Path, nargs="+", required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--work", type=Path, default=Path(".benchmarks/qat"))
    parser.add_argument("--session", choices=SESSIONS, default="openvino", help="as accuracy.py")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.work.mkdir(parents=True, exist_ok=True)
    job = job_of(options, "", 0)
    sets = open_dataset(job.data, "train"), open_dataset(job.data, "test")
    session = SESSIONS[options.session]
    before = float32(network(job), sets[1], options.work, session)
    answers: dict[str, list[Any]] = {"PTQ": [], "QAT": []}
    for file in options.tuned:
        job = job_of(options, "", int(file.stem.rpartition("-")[2]))
        tuned = network(job)
        read_difference(tuned, file)
        for way, model in (("PTQ", network(job)), ("QAT", tuned)):
            answers[way].append(engine(job, model, sets, options.work, session))
            log.info("%s %s: %.2f points lost", file.name, way, drop(before, answers[way][-1:]))
    row: dict[str, Any] = {"network": job.name, "session": options.session}
    row["float32"] = float(before.mean())
    for way, many in answers.items():
        low, high = mean_drop_interval(before, np.stack(many))
        each = [drop(before, [one]) for one in many]
        row[way] = {"drop": drop(before, many), "low": low, "high": high, "each": each}
    row["more_than_ptq"] = row["QAT"]["drop"] - row["PTQ"]["drop"]
    row["more_than_ptq_interval"] = difference(answers["PTQ"], answers["QAT"])
    if options.json:
        options.json.write_text(json.dumps(row, indent=1) + "\n")
    print(json.dumps(row, indent=1))


def float32(model: nn.Module, test_set: Dataset, folder: Path, session: Opening) -> Any:
    """Which test images FP32 answers right: bool[N]."""
    file = folder / "float.onnx"
    export_onnx(model, test_set.input_shape, ExportConfig(), file)
    return right(session(file), test_set, "FP32")


def engine(
    job: Job,
    model: nn.Module,
    sets: tuple[Dataset, Dataset],
    folder: Path,
    session: Opening,
) -> Any:
    """Which test images the INT8 engine of a network answers right: bool[N]."""
    train_set, test_set = sets
    indices, _ = draw(train_set, test_set, job.calibration)
    files = ours(job, model, train_set.images(indices), folder)
    return right(session(files["ours for OpenVINO"]), test_set, "INT8")


if __name__ == "__main__":
    main()
