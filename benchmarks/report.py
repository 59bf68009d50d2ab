"""What a user waits for every day: the report of a ResNet-50, ``--help`` and ``doctor``.

    python benchmarks/report.py [--runs 3] [--artifacts DIR]

Runs torchvision's ResNet-50 at 224x224 through the whole job, with random weights and made-up
images: the size of graphs, layer tables and pages is a real ResNet-50's, the accuracy means
nothing, and its gates may fail. Then only the report is made again (``--refresh report``), and the
seconds that the run says it took are read. Prints one JSON document with what the project promises
and whether it held; exit status 1 where it did not. Which axe-core findings the page has is tested
by tests/flows/test_report_page.py.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
ENGINESMITH = (sys.executable, "-c", "from flows.cli import main; main()")
CLASSES, TRAINING, TEST = 4, 8, 8

JOB = {
    "name": "resnet50-report",
    "model": {
        "factory": "torchvision.models:resnet50",
        "kwargs": {"num_classes": CLASSES},
        "pretrained": True,
    },
    "data": {
        "image_folder": {"path": "images"},
        "image_size": [224, 224],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
    "calibration": {"images": CLASSES * TRAINING, "batch_size": 8},
    "export": {"parity_images": 8},
    "engines": {"openvino": {}, "tensorrt_rtx": {"compute_capability": "8.6"}},
    "accuracy": {"batch_size": 8},
    "profile": {"rounds": 2, "calls": 5, "warmup_calls": 2, "threads": [1], "reuse": True},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--artifacts", type=Path, help="left out: a folder that is removed again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder), options.artifacts or Path(folder, "art"), options.runs)
    promises = {
        "report of ResNet-50 in at most 3 s": figures["report_median_s"] <= 3,
        "page below 3 MB": figures["page_bytes"] < 3e6,
        "--help in at most 0.3 s": figures["help_median_s"] <= 0.3,
        "doctor in at most 3 s": figures["doctor_median_s"] <= 3,
    }
    print(json.dumps({"figures": figures, "promises": promises}, indent=2))
    return 0 if all(promises.values()) else 1


def measured(folder: Path, artifacts: Path, runs: int) -> dict[str, float]:
    """Seconds and bytes; the first report, with all that is imported for it, is not counted."""
    write_images(folder / "images")
    job = folder / "job.yaml"
    job.write_text(yaml.safe_dump(JOB), encoding="utf-8")
    run = ("run", str(job), "--artifacts", str(artifacts))
    said(*run)
    reports = [report_seconds(said(*run, "--refresh", "report")) for _ in range(runs)]
    page = artifacts / "runs" / "resnet50-report" / "report.html"
    return {
        "report_median_s": statistics.median(reports),
        "page_bytes": page.stat().st_size,
        "help_median_s": statistics.median(seconds_of("--help") for _ in range(2 * runs + 1)),
        "doctor_median_s": statistics.median(seconds_of("doctor") for _ in range(runs)),
    }


def write_images(folder: Path) -> None:
    """Waves of a frequency for each class, with noise: JPEGs that decode like photographs."""
    noise = np.random.default_rng(0)
    y, x = np.mgrid[0:224, 0:224] / 224
    for split, count in (("train", TRAINING), ("test", TEST)):
        for label in range(CLASSES):
            place = folder / split / f"class{label}"
            place.mkdir(parents=True)
            for number in range(count):
                wave = np.sin(6.28 * (label + 1) * (x + y * noise.random()))
                pixels = 127 + 60 * wave[..., None] + noise.normal(0, 20, (224, 224, 3))
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(place / f"{number}.jpg")


def said(*arguments: str) -> str:
    """What a run says on stderr, stage by stage."""
    done = subprocess.run(
        [*ENGINESMITH, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(f"the run ended with status {done.returncode}: {done.stderr[-2000:]}")
    return done.stderr


def report_seconds(lines: str) -> float:
    """The seconds of the stage ``report``."""
    found = re.search(r"^report +([0-9.]+) s$", lines, flags=re.MULTILINE)
    if found is None:
        sys.exit(f"the run says nothing of its report: {lines[-2000:]}")
    return float(found[1])


def seconds_of(*arguments: str) -> float:
    """Wall seconds of a command, interpreter included."""
    started = time.perf_counter()
    subprocess.run([*ENGINESMITH, *arguments], cwd=REPOSITORY, capture_output=True, check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
