"""The published folder answers images by itself, wherever it is copied to."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.publish import Preprocessing, PublishConfig
from tasks.datasets.open import open_dataset
from tasks.publish import standalone
from tasks.publish.latest import latest_folder
from tasks.publish.package import preprocessing
from tasks.publish.publish import package_run, publish
from tasks.runtimes.plans import open_plan
from tests.publish.conftest import CLASSES, Run, image_data

BOTH = PublishConfig(engines=("openvino", "onnxruntime"), formats=("folder",))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory, built: Run) -> Path:
    """The published folder, copied out of the artifact folder."""
    from tasks.artifacts.store import Store

    root = tmp_path_factory.mktemp("script")
    shutil.copytree(built.store.root, root / "artifacts")
    store = Store(root / "artifacts")
    publish(store, package_run(store, built.report, BOTH), built.report, built.digest)
    return shutil.copytree(latest_folder(store, built.job) / "folder", root / "elsewhere" / "net")


def infer(folder: Path, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    """Run the script where nothing of the repository can be imported."""
    return subprocess.run(
        [sys.executable, "-P", folder / "infer.py", *map(str, arguments)],
        cwd=folder.parent,
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def evaluated(images: Path, plan: Path) -> list[int]:
    """The labels that the evaluation sees from the plan for the test images."""
    test = open_dataset(image_data(images), "test")
    logits = open_plan(plan).infer(test.images(np.arange(len(test))))
    return [int(label) for label in logits.argmax(axis=1)]


@pytest.mark.parametrize(
    ("engine", "plan"), [("openvino", "openvino.plan"), ("onnxruntime", "onnxruntime.onnx")]
)
def test_the_script_answers_what_the_engine_was_evaluated_with(
    elsewhere: Path, images: Path, engine: str, plan: str
) -> None:
    folders = [images / "test" / name for name in CLASSES]
    done = infer(elsewhere, *folders, "--engine", engine, "--json", "--top", 2)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    expected = evaluated(images, elsewhere / plan)
    assert [x["top"][0]["label"] for x in answers] == expected
    assert [x["top"][0]["class"] for x in answers] == [CLASSES[label] for label in expected]
    assert len(set(expected)) > 1
    assert all(len(x["top"]) == 2 for x in answers)


def test_preprocessing_equals_the_datasets_bit_by_bit(built: Run, images: Path) -> None:
    assert built.report.data is not None
    how = preprocessing(built.report.data).model_dump(mode="json")
    test = open_dataset(image_data(images), "test")
    paths = [p for name in CLASSES for p in sorted((images / "test" / name).iterdir())]
    ours = np.stack([standalone.prepare(path, how) for path in paths])
    np.testing.assert_array_equal(ours, test.images(np.arange(len(test))))


def test_16_bit_grey_is_what_the_dataset_makes_of_it(
    built: Run, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "data")
    first = sorted((tmp_path / "data/test" / CLASSES[0]).iterdir())[0]
    with Image.open(first) as image:
        size = image.size
    shades = np.linspace(0, 65535, size[0] * size[1]).reshape(size[::-1])
    first.unlink()
    first = first.with_suffix(".png")
    Image.fromarray(shades.astype(np.uint16)).save(first)
    assert built.report.data is not None
    ours = standalone.prepare(first, preprocessing(built.report.data).model_dump(mode="json"))
    assert np.unique(ours[0]).size > 100
    test = open_dataset(image_data(tmp_path / "data"), "test")
    np.testing.assert_array_equal(ours, test.images(np.arange(1))[0])


def test_an_image_that_cannot_be_decoded_is_named_and_the_others_are_answered(
    elsewhere: Path, images: Path, tmp_path: Path
) -> None:
    good = next((images / "test" / "cat").iterdir())
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:60])
    done = infer(elsewhere, good, broken, good)
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.startswith(f"infer.py: {broken}: cannot be decoded")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("what", ["missing.png", "empty"])
def test_a_path_without_images_is_said_in_one_line(
    elsewhere: Path, tmp_path: Path, what: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = infer(elsewhere, tmp_path / what)
    assert done.returncode == 2
    assert done.stderr.startswith(f"infer.py: {tmp_path / what}")
    assert len(done.stderr.splitlines()) == 1


EXACT = Preprocessing(input_shape=(1, 24, 32), mode="L", convert=False).model_dump(mode="json")


@pytest.mark.parametrize(
    ("mode", "size", "message"),
    [
        ("RGB", (32, 24), r"has 3 channels \(RGB\) and the network takes 1 \(L\): .*--fit"),
        ("RGBA", (32, 24), r"has 4 channels"),
        ("L", (24, 32), r"is 32x24 pixels and the network takes 24x32: .*--fit"),
    ],
)
def test_an_image_of_the_wrong_channels_or_size_is_refused_unless_told_to_fit(
    tmp_path: Path, mode: str, size: tuple[int, int], message: str
) -> None:
    path = tmp_path / "image.png"
    Image.new(mode, size).save(path)
    with pytest.raises(standalone.UnusableError, match=message):
        standalone.prepare(path, EXACT)
    assert standalone.prepare(path, EXACT, fit=True).shape == (1, 24, 32)


def test_a_network_that_takes_no_pictures_says_so(tmp_path: Path) -> None:
    Image.new("L", (32, 24)).save(tmp_path / "image.png")
    how = EXACT | {"input_shape": (4, 24, 32), "mode": None}
    with pytest.raises(standalone.UnusableError, match="takes 4 channels, which no image has"):
        standalone.prepare(tmp_path / "image.png", how)
