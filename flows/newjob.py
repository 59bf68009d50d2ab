"""The text of a job file for a network of the user's own, with a comment to every choice."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from flows.jobfile import describe
from schemas.base import Target
from schemas.errors import InputError
from schemas.job import Job

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))
FASHION_MNIST = ((0.286,), (0.353,))
CALIBRATION_IMAGES = 512

ENGINES: dict[Target, tuple[str, str]] = {
    "openvino": ("Runs on the processor of the machine that the job runs on.", "{}"),
    "tensorrt_rtx": (
        "Built without a GPU for the GPU generation named: 8.6 is Ampere, 8.9 Ada, 12.0 Blackwell.",
        '{compute_capability: "8.6"}',
    ),
    "tensorrt": ("Built and run on this machine's GPU.", "{}"),
}

OPTIONAL = """\
# More that a job can say; take the leading "# " away to have it.
# publish: {}  # what passed becomes the latest version of a plain folder with an infer.py
# mixed_precision: {}  # leave the fewest layers in float that max_drop_points holds with
# equalization: {}  # even weight ranges out between layers: for depthwise networks
# finetune: {epochs: 2}  # train on from the checkpoint with INT8's rounding simulated
# deliver: fastest_within_accuracy  # the FP32 plan where INT8 is not faster, or loses too much
# profile: {sweep: {batch_sizes: [1, 8, 32]}}  # time several batch sizes as well
"""


@dataclass(frozen=True)
class Answers:
    """What is asked of the user. Paths are relative to the job file."""

    name: str
    factory: str
    data: str
    """fashion_mnist, cifar10, package.module:callable, or a folder or tar of images."""
    engines: tuple[Target, ...]
    weights: str = "train"
    """A safetensors file; pretrained: the factory's own; train: made by the job."""
    classes: int | None = None
    size_px: int | None = None
    training_images: int | None = None
    """How many there are, where it was counted."""


def job_text(answers: Answers, file: Path) -> str:
    """The job file's text; ``file`` is where it is going to be, for the commands in its comments.

    Raises InputError where the answers make no job.
    """
    text = "\n".join(
        [
            f"# An INT8 engine of {answers.factory}. Relative paths are of this file's folder.",
            "#",
            f"#   enginesmith explain {file}  # which modules become INT8, without running the job",
            f"#   enginesmith run {file}  # the whole job, with its report",
            "#",
            "# `enginesmith schema` describes every field.",
            yaml.safe_dump({"name": answers.name}).rstrip(),
            "",
            _model(answers),
            _data(answers),
            *([_TRAIN] if answers.weights == "train" else []),
            _calibration(answers),
            _QUANTIZATION,
            _engines(answers),
            _ACCURACY,
            OPTIONAL,
        ]
    )
    try:
        Job.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise InputError(f"{file} would be no job: {describe(error)}") from error
    return text


def name_of(file: Path) -> str:
    """A job's name from its file's, in the letters that a name may have."""
    return re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-") or "job"


def _model(answers: Answers) -> str:
    lines = [
        "model:",
        "  # A callable that returns the network: package.module:callable, installed or in the",
        "  # jobs folder (jobs, or what ENGINESMITH_JOBS names). The network needs no change.",
        f"  factory: {answers.factory}",
    ]
    if answers.classes is not None:
        lines += [
            "  # What the callable is given.",
            f"  kwargs: {{num_classes: {answers.classes}}}",
        ]
    if answers.weights == "pretrained":
        lines += ["  # The callable gives the network its weights.", "  pretrained: true"]
    elif answers.weights != "train":
        lines += [
            "  # FP32 weights as a safetensors file, the network's own state_dict.",
            f"  weights: {json.dumps(answers.weights)}",
        ]
    return "\n".join([*lines, ""])


def _data(answers: Answers) -> str:
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mean, std = IMAGENET
    if answers.data == "fashion_mnist":
        source = ["  # Fashion-MNIST: Debian's package where it is installed, else downloaded."]
        source += ["  fashion_mnist: {}"]
        mean, std = FASHION_MNIST
    elif answers.data == "cifar10":
        source = ["  # CIFAR-10, downloaded by torchvision.", "  cifar10: {}"]
        mean, std = CIFAR10
    elif re.fullmatch(r"[\w.]+:[\w.]+", answers.data):
        source = ["  # A callable f(split) that returns a sized, indexable set of (image, label)."]
        source += [f"  factory: {{factory: {answers.data}}}"]
    else:
        source = ["  # A folder or a tar file: train/<class>/<image> and test/<class>/<image>."]
        source += [f"  image_folder: {{path: {json.dumps(answers.data)}}}"]
    size = []
    if answers.size_px is not None:
        size = ["  # Height and width that images are resized to."]
        size += [f"  image_size: [{answers.size_px}, {answers.size_px}]"]
    return "\n".join(
        [
            "data:",
            *source,
            *size,
            "  # Per channel, of pixels between 0 and 1: what the network was trained with.",
            f"  mean: {list(mean)}",
            f"  std: {list(std)}",
            "",
        ]
    )


def _calibration(answers: Answers) -> str:
    images = CALIBRATION_IMAGES
    if answers.training_images is not None:
        images = max(1, min(images, answers.training_images))
    return "\n".join(
        [
            "# Training images that the ranges of activations are chosen from.",
            "calibration:",
            f"  images: {images}",
            "",
        ]
    )


def _engines(answers: Answers) -> str:
    lines = ["engines:"]
    for target in answers.engines:
        comment, options = ENGINES[target]
        lines += [f"  # {comment}", f"  {target}: {options}"]
    return "\n".join([*lines, ""])


_TRAIN = """\
# There is no checkpoint: the job trains one. With one of your own, name it as model.weights.
train:
  epochs: 15
"""

_QUANTIZATION = """\
quantization:
  # minmax, moving_average, histogram, percentile, mse or entropy; `enginesmith sweep` ranks them.
  observer: histogram
  # Modules to leave in float, by name, where * stands for anything.
  exclude: []
"""

_ACCURACY = """\
# What must hold of every engine, or the run ends with exit status 1.
accuracy:
  # Top-1 that may be lost against FP32, in percentage points.
  max_drop_points: 0.5
"""
