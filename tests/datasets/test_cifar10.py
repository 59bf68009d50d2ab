"""CIFAR-10 in torchvision's format."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torchvision

from schemas.data import Cifar10, DataConfig
from schemas.errors import InputError
from tasks.datasets.open import describe, open_dataset

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as torchvision unpacks it, with 4 images a batch and its checksum check lifted."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(5)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for name in names:
        data = rng.integers(0, 256, (4, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [9, 0, 3, 1]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CLASSES)}))
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    return tmp_path


def test_planes_labels_and_classes_are_those_of_the_batches(cifar: Path) -> None:
    config = DataConfig(cifar10=Cifar10(root=cifar))
    test = open_dataset(config, "test")
    batch = pickle.loads((cifar / "cifar-10-batches-py" / "test_batch").read_bytes())
    # The format's own words: 1024 red, then green, then blue values, row by row.
    assert np.array_equal(test.pixels(np.arange(4)), batch["data"].reshape(4, 3, 32, 32))
    assert test.labels.tolist() == [9, 0, 3, 1]
    ref = describe(config)
    assert (ref.train_images, ref.test_images, ref.classes) == (20, 4, CLASSES)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.cifar10\.root: there is no folder .*nowhere"):
        describe(DataConfig(cifar10=Cifar10(root=tmp_path / "nowhere")))


def test_a_failed_download_names_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", unreachable)
    with pytest.raises(InputError, match=r"could not be downloaded.*data\.image_folder\.path"):
        describe(DataConfig(cifar10=Cifar10(root=tmp_path)))
