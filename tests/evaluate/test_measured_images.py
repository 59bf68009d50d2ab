"""Accuracy over some of the images of a dataset that is in order of its classes."""

import base64
import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import load_file

from schemas.data import DataConfig, DataRef, ImageFolder
from tasks.artifacts.store import Store
from tasks.datasets.open import describe, open_dataset
from tasks.evaluate.task import predict_graph
from tasks.report.page.flips import find_flips

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
BGR = (2, 1, 0)
RGB = (0, 1, 2)


@pytest.fixture
def photos(tmp_path: Path) -> DataRef:
    """20 images of each colour, which is their class."""
    for name, colour in COLOURS.items():
        for split, count in (("train", 1), ("test", 20)):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (4, 4), colour).save(folder / f"{number:02}.png")
    return describe(DataConfig(image_folder=ImageFolder(path=tmp_path / "photos")))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("ENGINESMITH_ARTIFACTS", str(tmp_path / "artifacts"))
    return Store(tmp_path / "artifacts")


def names_colours(path: Path, order: tuple[int, ...]) -> Path:
    """A network whose logits are the mean of each channel, in the given order."""
    nodes = [
        helper.make_node("Gather", ["images", "order"], ["g"], axis=1),
        helper.make_node("GlobalAveragePool", ["g"], ["p"]),
        helper.make_node("Flatten", ["p"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.array(order), "order")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def answers(
    store: Store, data: DataRef, graph: Path, images: int | None
) -> dict[str, NDArray[np.generic]]:
    kept = store.put_file("onnx", graph)
    logits = predict_graph.fn(kept, "openvino", data, images, 8)
    found: dict[str, NDArray[np.generic]] = load_file(store.open(logits.file))
    return found


def test_some_images_are_of_every_class_and_each_meets_its_own_label(
    store: Store, photos: DataRef, tmp_path: Path
) -> None:
    graph = names_colours(tmp_path / "bgr.onnx", BGR)
    some = answers(store, photos, graph, 15)
    assert np.bincount(some["labels"]).min() >= 3
    assert np.array_equal(some["logits"].argmax(axis=1), some["labels"])
    assert np.array_equal(some["indices"], answers(store, photos, graph, 15)["indices"])
    # Fewer images are some of those.
    assert set(answers(store, photos, graph, 5)["indices"]) <= set(some["indices"])


@pytest.mark.parametrize("images", [None, 60, 1000])
def test_all_images_stay_in_their_order(
    store: Store, photos: DataRef, tmp_path: Path, images: int | None
) -> None:
    found = answers(store, photos, names_colours(tmp_path / "bgr.onnx", BGR), images)
    assert found["indices"].tolist() == list(range(60))
    assert found["labels"].tolist() == [0] * 20 + [1] * 20 + [2] * 20


def test_a_flip_shows_the_image_that_flipped(store: Store, photos: DataRef, tmp_path: Path) -> None:
    right = answers(store, photos, names_colours(tmp_path / "bgr.onnx", BGR), 15)
    wrong = answers(store, photos, names_colours(tmp_path / "rgb.onnx", RGB), 15)
    test_set = open_dataset(photos.config, "test")
    flips = find_flips(
        right["logits"],
        wrong["logits"],
        right["labels"],
        right["indices"],
        test_set,
        photos.classes,
    )
    # A network that takes red for blue is right about green.
    assert {flip.truth for flip in flips} == {"blue", "red"}
    for flip in flips:
        assert photos.classes[test_set.labels[flip.index]] == flip.truth
        png = io.BytesIO(base64.b64decode(flip.picture.partition(",")[2]))
        assert Image.open(png).convert("RGB").getpixel((0, 0)) == COLOURS[flip.truth]
