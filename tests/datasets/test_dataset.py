"""A dataset's batches, digests and resizing, and datasets of the user's own."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from schemas.data import DataConfig, DatasetFactory
from schemas.errors import InputError
from tasks.datasets.dataset import Dataset, InMemory, Split
from tasks.datasets.open import describe, open_dataset
from tasks.datasets.resize import Resize, resized

PIXELS = np.random.default_rng(3).integers(0, 256, (23, 3, 8, 6), dtype=np.uint8)


def split_of(pixels: np.ndarray) -> Split:
    labels = np.arange(len(pixels), dtype=np.int64) % 2
    return Split(InMemory(pixels), labels, ("a", "b"), pixels.shape[1:])


def dataset(mean: tuple[float, ...] = (0.0,), std: tuple[float, ...] = (1.0,)) -> Dataset:
    return Dataset("toy", split_of(PIXELS), mean, std)


@given(
    size=st.integers(1, 30),
    chosen=st.one_of(st.none(), st.lists(st.integers(0, 22), min_size=1, max_size=40)),
)
def test_batches_hold_every_chosen_image_once_and_in_order(
    size: int, chosen: list[int] | None
) -> None:
    indices = None if chosen is None else np.array(chosen, np.int64)
    batches = list(dataset().batches(size, indices))
    expected = np.arange(23) if indices is None else indices
    assert all(len(batch.images) == size for batch in batches[:-1])
    images = np.concatenate([batch.images for batch in batches])
    assert np.array_equal(images, PIXELS[expected].astype(np.float32) * np.float32(1 / 255))
    labels = np.concatenate([batch.labels for batch in batches])
    assert np.array_equal(labels, expected % 2)


def test_mean_and_std_are_per_channel() -> None:
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    images = dataset(mean, std).images(np.array([5]))
    expected = (PIXELS[5] / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(images[0], expected, atol=1e-5)


def test_a_mean_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(InputError, match="2 values, and the images of toy 3 channels"):
        dataset((0.1, 0.2), (1.0, 1.0))


def test_content_digests_tell_images_apart_and_know_equal_ones() -> None:
    pixels = PIXELS.copy()
    pixels[7] = pixels[2]
    pixels[9, 0, 0, 0] ^= 1
    digests = Dataset("toy", split_of(pixels), (0.0,), (1.0,)).content_digests(np.arange(23))
    assert digests[7] == digests[2]
    assert len(set(digests)) == 22
    assert digests[9] != dataset().content_digests(np.array([9]))[0]


@pytest.mark.parametrize("resize", [Resize((4, 3)), Resize((4, 4), 0.75), Resize((2, 4), 1.0)])
def test_resizing_arrays_agrees_with_resizing_files(resize: Resize) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (5, 3, 24, 16), dtype=np.uint8)
    arrays = resized(split_of(pixels), resize).pixels(np.arange(5))
    for array, source in zip(arrays, pixels, strict=True):
        file = resize.image(Image.fromarray(source.transpose(1, 2, 0)))
        difference = array.transpose(1, 2, 0).astype(int) - np.asarray(file).astype(int)
        assert np.abs(difference).max() <= 1


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    size=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    share=st.floats(0.1, 1),
)
def test_a_center_crop_lies_in_the_middle_in_the_proportions_asked_for(
    height: int, width: int, size: tuple[int, int], share: float
) -> None:
    left, top, right, bottom = Resize(size, share).box(height, width)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert abs(left - (width - right)) <= 1
    assert abs(top - (height - bottom)) <= 1
    # One of the sides is cut to the share asked for, the other to no more, to the whole pixel.
    scale = share * min(height / size[0], width / size[1])
    assert bottom - top == pytest.approx(scale * size[0], abs=1)
    assert right - left == pytest.approx(scale * size[1], abs=1)


def test_a_center_crop_of_224_from_256_is_what_imagenets_networks_are_fed() -> None:
    # torchvision resizes the shorter side to 256 and cuts 224 pixels from the middle.
    assert Resize((224, 224), 0.875).box(256, 256) == (16, 16, 240, 240)
    assert Resize((224, 224), 0.875).box(256, 512) == (144, 16, 368, 240)


def test_a_crop_without_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match="center_crop needs image_size"):
        DataConfig.model_validate({"fashion_mnist": {}, "center_crop": 0.9})


def test_a_changed_crop_changes_what_a_cached_result_depends_on() -> None:
    config = factory("Photos")
    changes = {"image_size": (4, 4), "center_crop": 0.5}
    whole = describe(config.model_copy(update={"image_size": (4, 4)}))
    cut = describe(config.model_copy(update=changes))
    assert whole.sha256 == cut.sha256
    assert whole.identity() != cut.identity()
    assert cut.input_shape == (3, 4, 4)


class Photos:
    """A set as users write them: PIL images, no ``targets``."""

    def __init__(self, split: str, images: int = 6, bad: str = "") -> None:
        self.split, self.images, self.bad = split, images, bad

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, index: int) -> tuple[object, object]:
        if self.bad == "raises" and index == 3:
            raise RuntimeError("disk on fire")
        if self.bad == "shape" and index == 3:
            return Image.new("RGB", (2, 2)), 0
        if self.bad == "label":
            return Image.new("RGB", (6, 8)), "cat"
        if self.bad == "dtype":
            return np.zeros((3, 8, 6)), 0
        return Image.fromarray(PIXELS[index].transpose(1, 2, 0)), index % 3


def from_arrays(_split: str) -> list[tuple[np.ndarray, int]]:
    return [(pixels.astype(np.float32) / 255, index % 3) for index, pixels in enumerate(PIXELS[:6])]


def not_a_dataset(_split: str) -> int:
    return 3


def factory(name: str, **kwargs: object) -> DataConfig:
    dotted = f"{__name__}:{name}"
    return DataConfig(factory=DatasetFactory.model_validate({"factory": dotted, "kwargs": kwargs}))


def test_a_dataset_of_the_users_own_is_read() -> None:
    ref = describe(factory("Photos"))
    assert (ref.train_images, ref.num_classes, ref.input_shape) == (6, 3, (3, 8, 6))
    opened = open_dataset(factory("Photos"), "train")
    assert np.array_equal(opened.pixels(np.array([4, 1])), PIXELS[[4, 1]])
    assert opened.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_float_images_are_taken_as_zero_to_one() -> None:
    floats = open_dataset(factory("from_arrays"), "test").images(np.arange(6))
    bytes_ = open_dataset(factory("Photos"), "test").images(np.arange(6))
    np.testing.assert_allclose(floats, bytes_, atol=1e-6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("raises", "item 3 cannot be had .RuntimeError: disk on fire"),
        ("shape", r"image 3 is uint8\[3, 2, 2\] and image 0 uint8\[3, 8, 6\]"),
        ("label", "labels are not integers"),
        ("dtype", r"image 0 is float64\[3, 8, 6\]"),
    ],
)
def test_what_is_wrong_with_a_users_dataset_is_said(bad: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        describe(factory("Photos", bad=bad))


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(InputError, match="is empty"):
        describe(factory("Photos", images=0))


def test_something_else_than_a_dataset_is_refused() -> None:
    with pytest.raises(InputError, match="is a int: return a set with __len__ and __getitem__"):
        describe(factory("not_a_dataset"))


def test_wrong_kwargs_are_refused_before_the_call() -> None:
    with pytest.raises(InputError, match=r"does not take kwargs .*'colour'"):
        describe(factory("Photos", colour=True))


def test_reading_does_not_change_files(tmp_path: Path) -> None:
    image = tmp_path / "train" / "a" / "0.png"
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / split / "a" / "0.png")
    before = image.stat().st_mtime_ns, sorted(tmp_path.rglob("*"))
    describe(DataConfig.model_validate({"image_folder": {"path": tmp_path}}))
    assert before == (image.stat().st_mtime_ns, sorted(tmp_path.rglob("*")))
