"""Fashion-MNIST, the real images."""

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.data import DataConfig, FashionMnist
from schemas.errors import InputError
from tasks.datasets import fashion_mnist
from tasks.datasets.fashion_mnist import read_idx
from tasks.datasets.open import describe, open_dataset


def config(root: Path) -> DataConfig:
    return DataConfig(fashion_mnist=FashionMnist(root=root), mean=(0.286,), std=(0.353,))


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()))


def test_the_package_holds_seventy_thousand_balanced_images(fashion_folder: Path) -> None:
    ref = describe(config(fashion_folder))
    assert (ref.train_images, ref.test_images, ref.num_classes) == (60_000, 10_000, 10)
    assert ref.input_shape == (1, 28, 28)
    test = open_dataset(config(fashion_folder), "test")
    assert np.bincount(test.labels).tolist() == [1000] * 10


def test_images_have_zero_mean_and_unit_deviation_after_normalising(fashion_folder: Path) -> None:
    train = open_dataset(config(fashion_folder), "train")
    images = train.images(np.arange(10_000))
    assert images.dtype == np.float32
    assert abs(float(images.mean())) < 0.02
    assert abs(float(images.std()) - 1) < 0.02


def test_the_digest_does_not_depend_on_the_place(fashion_folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(fashion_folder, moved)
    here, there = describe(config(fashion_folder)), describe(config(moved))
    assert here.sha256 == there.sha256
    assert here.identity() == there.identity()


def test_no_training_image_is_among_the_test_images(fashion_folder: Path) -> None:
    train, test = (open_dataset(config(fashion_folder), s) for s in ("train", "test"))
    training = set(train.content_digests(np.arange(len(train))))
    assert training.isdisjoint(test.content_digests(np.arange(len(test))))


def test_unpacked_files_in_torchvisions_layout_are_read(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    for name, values in (("images-idx3", pixels), ("labels-idx1", np.array([9, 0], np.uint8))):
        packed = raw / f"t10k-{name}-ubyte.gz"
        write_idx(packed, values)
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    dataset = open_dataset(DataConfig(fashion_mnist=FashionMnist(root=tmp_path)), "test")
    assert np.array_equal(dataset.pixels(np.array([1, 0])), pixels[[1, 0], None])
    assert dataset.labels.tolist() == [9, 0]


@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_an_idx_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], seed: int
) -> None:
    path = tmp_path_factory.mktemp("idx") / "values.gz"
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    write_idx(path, values)
    assert np.array_equal(read_idx(path), values)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "cannot be read"),
        (lambda _: b"not gzip at all", "cannot be read"),
        (lambda _: gzip.compress(b"\0\0\x0d\x01" + b"\0" * 8), "not an IDX file"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-5]), "header says"),
        (lambda _: gzip.compress(b""), "not an IDX file"),
    ],
    ids=["truncated", "garbage", "floats", "too short", "empty"],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: object, message: str) -> None:
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(500, np.uint8))
    images = tmp_path / "t10k-images-idx3-ubyte.gz"
    write_idx(images, np.random.default_rng(0).integers(0, 255, (500, 4, 4), dtype=np.uint8))
    images.write_bytes(damage(images.read_bytes()))  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as error:
        open_dataset(config(tmp_path), "test")
    assert images.name in str(error.value)
    assert "apt-get install dataset-fashion-mnist" in str(error.value)


def test_missing_files_say_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not in .*apt-get install dataset-fashion-mnist"):
        describe(config(tmp_path))
    with pytest.raises(InputError, match=r"there is no folder .*apt-get install"):
        describe(config(tmp_path / "nowhere"))


def test_images_and_labels_must_be_as_many(tmp_path: Path) -> None:
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", np.zeros((3, 4, 4), np.uint8))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(2, np.uint8))
    with pytest.raises(InputError, match="do not fit together"):
        open_dataset(config(tmp_path), "test")


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", np.zeros((2, 4, 4), np.uint8))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.array([0, 10], np.uint8))
    with pytest.raises(InputError, match="label 10 of test is not one of 10"):
        open_dataset(config(tmp_path), "test")


def test_without_the_package_and_the_network_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", unreachable)
    with pytest.raises(InputError, match=r"could not be downloaded.*apt-get install"):
        describe(DataConfig(fashion_mnist=FashionMnist()))
