"""``enginesmith publish``, ``published``, ``rollback`` and ``infer`` from the command line."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from flows.cli import main
from flows.jobfile import load_job
from flows.mixed import with_float
from tasks.datasets.open import open_dataset
from tasks.publish.latest import latest_folder
from tasks.runtimes.plans import open_plan
from tests.publish.conftest import CLASSES, FAILED, PASSED, Run, deliver, image_data


class Ended:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command in the artifact folder of ``run``."""
    monkeypatch.setenv("ENGINESMITH_ARTIFACTS", str(run.store.root))

    def call(*arguments: Any) -> Ended:
        monkeypatch.setattr(sys, "argv", ["enginesmith", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, out, err)

    return call


def one_line(ended: Ended, *words: str) -> None:
    """The command was refused in one line with these words."""
    assert ended.code == 2, ended.err
    assert ended.err.startswith("enginesmith: ")
    assert ended.err.count("\n") == 1, ended.err
    for word in words:
        assert word in ended.err


def job_file(run: Run, folder: Path, **changes: Any) -> Path:
    document = run.report.job.model_dump(mode="json") | changes
    (folder / "tiny.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder / "tiny.yaml"


def test_a_run_is_published_listed_answered_and_rolled_back(
    cli: Any, run: Run, images: Path, tmp_path: Path
) -> None:
    first = cli("publish", "tiny")
    assert first.code == 0, first.err
    assert "not for Triton: no backend of Triton" in first.out
    assert "Triton model tiny-openvino" in first.out
    file = job_file(run, tmp_path, publish={"formats": ["folder"]})
    second = cli("publish", file, "--json").json
    assert second["promoted"]
    assert cli("published", "tiny", "--path").out.strip().endswith(second["version"])
    assert [x["latest"] for x in cli("published", "tiny", "--json").json] == [False, True]
    back = cli("rollback", "tiny", "--json").json
    assert back["withdrawn"] == [second["version"]]
    assert "rolled back" in cli("published").out
    refused = cli("publish", file)
    assert refused.code == 1
    assert "--again" in refused.err
    assert cli("publish", file, "--again").code == 0
    answered = cli("infer", "tiny", images / "test" / "cat", "--top", 1)
    assert len(answered.out.splitlines()) == 6


def test_infer_answers_what_the_engine_was_evaluated_with(cli: Any, run: Run, images: Path) -> None:
    cli("publish", "tiny")
    folder = latest_folder(run.store, "tiny")
    test = open_dataset(image_data(images), "test")
    logits = open_plan(folder / "folder/openvino.plan").infer(test.images(np.arange(len(test))))
    expected = [CLASSES[i] for i in logits.argmax(axis=1)]
    places = [images / "test" / name for name in CLASSES]
    for source in ("tiny", folder, folder / "folder", run.store.root / "published/tiny"):
        answers = cli("infer", source, *places, "--json").json
        assert [x["top"][0]["class"] for x in answers] == expected


def test_a_bare_plan_takes_its_preprocessing_from_flags(
    cli: Any, run: Run, images: Path, tmp_path: Path
) -> None:
    cli("publish", "tiny")
    folder = latest_folder(run.store, "tiny") / "folder"
    for name in ("openvino.plan", "openvino.plan.manifest.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    cat = next((images / "test" / "cat").iterdir())
    flags = ["--mode", "RGB", "--crop", "0.8", "--mean", "0.4,0.5,0.6", "--std", "0.2,0.25,0.3"]
    flags += ["--fit", "--classes", folder / "labels.txt", "--json"]
    bare = cli("infer", tmp_path / "openvino.plan", cat, *flags)
    assert bare.json == cli("infer", "tiny", cat, "--json").json
    assert not bare.err
    graph = run.store.open(run.report.engines[0].graph)
    assumed = cli("infer", graph, cat, "--fit", "--json")
    assert "the 0..1 scale is assumed" in assumed.err
    assert assumed.json[0]["top"][0]["class"] in {"0", "1", "2", "3"}


def test_the_plan_of_a_run_takes_its_preprocessing_from_the_report(
    cli: Any, run: Run, images: Path
) -> None:
    cli("publish", "tiny")
    folder, delivered = latest_folder(run.store, "tiny") / "folder", run.store.root / "runs/tiny"
    for name in ("openvino.plan", "openvino.plan.manifest.json"):
        (delivered / name).write_bytes((folder / name).read_bytes())
    dogs = images / "test" / "dog"
    from_run = cli("infer", delivered / "openvino.plan", dogs, "--json")
    assert from_run.json == cli("infer", "tiny", dogs, "--json").json


def test_a_folder_of_images_called_as_the_job_does_not_stand_in_its_way(
    cli: Any, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(images / "test" / "dog", "tiny")
    one_line(cli("infer", "tiny", "tiny"), "tiny holds no manifest.json")
    cli("publish", "tiny")
    assert len(cli("infer", "tiny", "tiny", "--json").json) == len(list(Path("tiny").iterdir()))
    one_line(cli("infer", "./tiny", "tiny"), "tiny holds no manifest.json")


def test_an_image_that_cannot_be_decoded_is_named_and_the_others_are_answered(
    cli: Any, images: Path, tmp_path: Path
) -> None:
    cli("publish", "tiny")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    good = next((images / "test" / "cat").iterdir())
    ended = cli("infer", "tiny", tmp_path / "broken.jpg", good)
    assert ended.code == 2
    assert "broken.jpg: cannot be decoded" in ended.err
    assert len(ended.out.splitlines()) == 1
    listed = cli("infer", "tiny", tmp_path / "broken.jpg", good, "--json").json
    assert "error" in listed[0]
    assert "top" in listed[1]


def test_a_run_whose_gates_failed_is_refused(cli: Any, run: Run) -> None:
    run.with_gates(PASSED, FAILED)
    ended = cli("publish", "tiny")
    assert ended.code == 1
    assert "tiny is not published: points lost: 1.20 of at most 0.50" in ended.err
    assert not (run.store.root / "published").exists()


def test_a_removed_latest_is_said(cli: Any, run: Run, images: Path) -> None:
    cli("publish", "tiny")
    (latest_folder(run.store, "tiny") / "version.json").unlink()
    one_line(cli("infer", "tiny", images), "which was removed", "enginesmith rollback tiny")
    one_line(cli("published", "tiny", "--path"), "which was removed")
    assert "latest, but gone: enginesmith rollback tiny" in cli("published", "tiny").out
    assert cli("publish", "tiny").code == 0
    assert "but gone" not in cli("published", "tiny").out


def test_the_path_is_of_a_job_that_is_named(cli: Any) -> None:
    one_line(cli("published", "--path"), "--path", "name the job")


@pytest.mark.parametrize("command", ["publish", "rollback", "published", "infer"])
def test_an_unknown_job_is_said_with_the_nearest(cli: Any, images: Path, command: str) -> None:
    cli("publish", "tiny")
    more = [images] if command == "infer" else []
    one_line(cli(command, "tinny", *more), "tinny", "did you mean tiny?")


def test_a_job_changed_since_its_run_is_not_published(cli: Any, run: Run, tmp_path: Path) -> None:
    file = job_file(run, tmp_path, calibration={"images": 7})
    one_line(cli("publish", file), "was changed since it was run (calibration)")


def test_layers_that_the_search_left_in_float_are_no_change_of_the_job(
    cli: Any, run: Run, tmp_path: Path
) -> None:
    quantization = {"exclude": ["stem"]}
    file = job_file(run, tmp_path, mixed_precision={}, quantization=quantization)
    built = with_float(load_job(file), ("stem", "head"))
    deliver(run.store, run.report.model_copy(update={"job": built}))
    assert cli("publish", file).code == 0
    for change in ({"exclude": ["head"]}, quantization | {"observer": "minmax"}):
        file = job_file(run, tmp_path, mixed_precision={}, quantization=change)
        one_line(cli("publish", file), "was changed since it was run (quantization)")


def test_a_run_whose_objects_are_gone_is_said(cli: Any, run: Run) -> None:
    run.store.open(run.report.engines[0].plan).unlink()
    one_line(cli("publish", "tiny"), "is missing", "run the job again")


def test_a_plan_that_does_not_run_on_this_machine_is_said(cli: Any, images: Path) -> None:
    cli("publish", "tiny")
    one_line(cli("infer", "tiny", images, "--engine", "tensorrt_rtx"), "tensorrt_rtx.plan")
    one_line(cli("infer", "tiny", images, "--engine", "tensorrt"), "name one of openvino")


def test_a_version_of_engines_for_other_machines_only_is_said(
    cli: Any, run: Run, images: Path, tmp_path: Path
) -> None:
    cli("publish", job_file(run, tmp_path, publish={"engines": ["tensorrt_rtx"]}))
    one_line(cli("infer", "tiny", images), "no engine of tiny runs on this machine")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere/openvino.plan"], "check the path"),
        (["tiny", "--size", "224"], "HEIGHTxWIDTH"),
        (["tiny", "--mean", "a,b"], "--mean a,b"),
        (["tiny", "--std", "0,1,1"], "--std 0,1,1"),
        (["tiny", "--mean", "0.5,0.5"], "--mean has 2 values and the network 3 channels"),
        (["tiny", "--size", "10x10"], "is 10x10 pixels and the network takes 24x32"),
    ],
)
def test_wrong_options_are_said_in_one_line(
    cli: Any, tmp_path: Path, arguments: list[str], words: str
) -> None:
    cli("publish", "tiny")
    image = tmp_path / "image.png"
    Image.new("RGB", (32, 24)).save(image)
    source, *options = arguments
    ended = cli("infer", source, image, *options)
    assert ended.code == 2
    assert words in ended.err
    assert ended.err.count("\n") == 1


def test_class_names_of_another_number_are_refused(cli: Any, images: Path, tmp_path: Path) -> None:
    cli("publish", "tiny")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    ended = cli("infer", "tiny", images, "--classes", tmp_path / "classes.txt")
    one_line(ended, "names 2 classes and the network has 4")


def test_a_report_that_is_none_is_refused(cli: Any, run: Run) -> None:
    (run.store.root / "runs/tiny/report.json").write_text("{}")
    one_line(cli("publish", "tiny"), "is no report of this version")
    deliver(run.store, run.report.model_copy(update={"data": None}))
    one_line(cli("publish", "tiny"), "does not name the classes")
