"""The job file that ``init`` writes is a job, says true things, and runs to its end."""

import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from flows.newjob import ENGINES, Answers, job_text, name_of
from schemas.errors import InputError
from schemas.job import Job
from tests.flows.conftest import CHECKPOINT, REPOSITORY
from tests.flows.test_cli import assert_refused, enginesmith

ANSWERS = [
    Answers("a", "nets:Net", "photos", ("openvino",)),
    Answers("b", "nets:Net", "data.tar.xz", tuple(ENGINES), "net.safetensors", 7, 224, 90),
    Answers("c", "nets:Net", "cifar10", ("tensorrt",), "pretrained"),
    Answers("d", "nets:Net", "sets:open_split", ("tensorrt_rtx",), "pretrained", size_px=32),
    Answers("e", "nets:Net", "fashion_mnist", ("openvino",), "it's: a #path.safetensors"),
]

NETWORK = f"""
from safetensors.torch import load_model
from tasks.models.resnet import resnet20
from tests.flows.few_images import FewImages

def network(num_classes):
    net = resnet20(num_classes=num_classes, in_channels=1)
    load_model(net, {str(CHECKPOINT)!r})
    return net

def open_split(split):
    return FewImages(split, 300)
"""


@pytest.mark.parametrize("answers", ANSWERS, ids=lambda a: a.name)
def test_the_file_is_a_job_that_says_what_was_answered(answers: Answers) -> None:
    job = Job.model_validate(yaml.safe_load(job_text(answers, Path("job.yaml"))))
    assert job.model.factory == answers.factory
    assert job.model.pretrained is (answers.weights == "pretrained")
    if answers.weights.endswith("safetensors"):
        assert str(job.model.weights) == answers.weights
    assert (job.train is not None) is (answers.weights == "train")
    assert {t for t in ENGINES if getattr(job.engines, t) is not None} == set(answers.engines)
    assert job.data.image_size == (None if answers.size_px is None else (answers.size_px,) * 2)
    assert job.calibration.images == (answers.training_images or 512)
    assert job.model.kwargs == ({} if answers.classes is None else {"num_classes": 7})


@pytest.mark.parametrize("name", ["2024", "on", "null", "1e5"])
def test_a_name_that_yaml_takes_for_another_value_stays_a_name(name: str) -> None:
    answers = replace(ANSWERS[0], name=name_of(Path(f"{name}.yaml")))
    assert Job.model_validate(yaml.safe_load(job_text(answers, Path("job.yaml")))).name == name


def test_every_optional_line_is_a_field_once_its_comment_sign_is_gone() -> None:
    text = job_text(ANSWERS[0], Path("job.yaml"))
    optional = re.findall(r"^# (\w+): .*$", text, flags=re.MULTILINE)
    assert len(optional) > 4
    for name in optional:
        changed = re.sub(rf"^# ({name}:)", r"\1", text, flags=re.MULTILINE)
        job = Job.model_validate(yaml.safe_load(changed))
        assert getattr(job, name) != Job.model_fields[name].get_default(call_default_factory=True)


def test_observers_named_in_the_comment_are_those_that_there_are() -> None:
    from typing import get_args

    from schemas.convert import Observer

    text = job_text(ANSWERS[0], Path("job.yaml"))
    line = next(x for x in text.splitlines() if "minmax," in x)
    assert set(get_args(Observer)) == set(re.findall(r"[a-z_]{3,}", line.partition(";")[0]))


@pytest.mark.thorough
def test_from_init_to_an_engine(tmp_path: Path) -> None:
    (tmp_path / "mynet.py").write_text(NETWORK, encoding="utf-8")
    job = tmp_path / "My Job.yaml"
    said = ("--factory", "mynet:network", "--weights", "pretrained", "--classes", "10")
    said += ("--data", "mynet:open_split", "--engines", "openvino")
    trusted = {"ENGINESMITH_JOBS": str(tmp_path)}
    written = enginesmith("init", job, *said, **trusted)
    assert written.returncode == 0, written.stderr
    assert written.stderr == ""
    text = job.read_text(encoding="utf-8").replace("images: 512", "images: 64")
    # The comments of the data and the calibration say what to correct for a set of one's own.
    text = re.sub(r"mean: .*", "mean: [0.286]", re.sub(r"std: .*", "std: [0.353]", text))
    job.write_text(text, encoding="utf-8")
    few = ("--set", "profile.rounds=1", "--set", "profile.calls=3", "--set", "profile.baselines=[]")
    done = enginesmith("run", job, "--artifacts", tmp_path / "artifacts", "--json", *few, **trusted)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["job"]["name"] == "my-job"
    assert report["accuracies"][0]["top1"] > 0.9


def test_nothing_is_overwritten_or_guessed(tmp_path: Path) -> None:
    job = tmp_path / "mine.yaml"
    job.write_text("precious", encoding="utf-8")
    given = ("--factory", "a:b", "--data", "fashion_mnist")
    assert_refused(enginesmith("init", job, *given), "is there already")
    assert job.read_text(encoding="utf-8") == "precious"
    assert_refused(enginesmith("init", tmp_path / "new.yaml"), "has no --factory and no --data")
    assert_refused(
        enginesmith("init", tmp_path / "new.yaml", *given, "--engines", "openvin"),
        "did you mean openvino?",
    )
    assert not (tmp_path / "new.yaml").exists()
    assert_refused(enginesmith("init", job / "below.yaml", *given), "cannot be written")
    forced = enginesmith("init", job, *given, "--force")
    assert forced.returncode == 0
    assert "there is no module a" in forced.stderr
    said = json.loads(enginesmith("init", job, *given, "--force", "--json").stdout)
    assert said["file"] == str(job)
    assert "there is no module a" in said["missing"]
    assert name_of(job) == "mine"


def test_an_answer_that_makes_no_job_is_named() -> None:
    with pytest.raises(InputError, match=r"model\.factory"):
        job_text(Answers("a", "no dots", "photos", ("openvino",)), Path("job.yaml"))


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    job = tmp_path / "asked.yaml"
    asked = subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import main; main()", "init", str(job)],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        cwd=REPOSITORY,
    )
    os.close(theirs)
    os.write(ours, b"nets:Net\npretrained\ncifar10\n10\n64\n")
    assert asked.wait(60) == 0
    os.close(ours)
    document = yaml.safe_load(job.read_text(encoding="utf-8"))
    assert document["model"] == {
        "factory": "nets:Net",
        "kwargs": {"num_classes": 10},
        "pretrained": True,
    }
    assert document["data"]["image_size"] == [64, 64]
