"""Images in folders and tars."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.data import DataConfig, ImageFolder
from schemas.errors import InputError
from tasks.datasets import image_folder
from tasks.datasets.open import describe, open_dataset


def config(path: Path, size: tuple[int, int] | None = None, **options: object) -> DataConfig:
    folder = ImageFolder.model_validate({"path": path, **options})
    return DataConfig(image_folder=folder, image_size=size)


def first_image(photos: Path) -> Path:
    return photos / "test" / "cat" / "0000.png"


def test_pixels_and_labels_are_those_of_the_files(photos: Path) -> None:
    dataset = open_dataset(config(photos), "train")
    assert dataset.classes == ("cat", "dog")
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1]
    files = sorted((photos / "train").rglob("*.png"))
    expected = np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1) for file in files])
    assert np.array_equal(dataset.pixels(np.arange(5)), expected)


def test_orientation_is_not_applied_and_alpha_is_dropped(photos: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 4), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(photos / "test" / "cat" / "0000.png", exif=turned)
    read = open_dataset(config(photos), "test").pixels(np.array([0]))
    assert np.array_equal(read[0], pixels[..., :3].transpose(2, 0, 1))


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_a_tar_is_the_same_dataset_as_its_folder(
    photos: Path, packed: Callable[..., Path], compression: str
) -> None:
    tar = packed(compression)
    assert describe(config(tar)).sha256 == describe(config(photos)).sha256
    for split in ("train", "test"):
        a, b = open_dataset(config(tar), split), open_dataset(config(photos), split)  # type: ignore[arg-type]
        assert np.array_equal(a.images(np.arange(len(a))), b.images(np.arange(len(b))))
        assert np.array_equal(a.labels, b.labels)


def test_a_tar_made_with_dot_slash_or_a_wrapping_folder_is_read(
    packed: Callable[..., Path],
) -> None:
    assert describe(config(packed(prefix="./"))).train_images == 5
    wrapped = config(packed(prefix="pack/"), train="pack/train", test="pack/test")
    assert describe(wrapped).test_images == 3


def test_the_digest_follows_content_and_class(photos: Path) -> None:
    before = describe(config(photos)).sha256
    photos.rename(photos.with_name("moved"))
    photos = photos.with_name("moved")
    assert describe(config(photos)).sha256 == before
    first_image(photos).rename(photos / "test" / "dog" / "0000.png")
    moved = describe(config(photos)).sha256
    assert moved != before
    Image.new("RGB", (4, 6), "red").save(photos / "test" / "dog" / "0000.png")
    assert describe(config(photos)).sha256 not in (before, moved)


def test_given_classes_set_the_order_of_labels(photos: Path) -> None:
    dataset = open_dataset(config(photos, classes=("dog", "cat")), "train")
    assert dataset.classes == ("dog", "cat")
    assert dataset.labels.tolist() == [0, 0, 1, 1, 1]


def test_images_above_the_memory_limit_are_read_one_by_one_and_equal(
    photos: Path, packed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = open_dataset(config(photos), "train")
    monkeypatch.setattr(image_folder, "IN_MEMORY_BYTES", 100)
    for path in (photos, packed("xz")):
        lazy = open_dataset(config(path), "train")
        assert lazy.in_memory is None
        order = np.array([4, 0, 2])
        assert np.array_equal(lazy.pixels(order), eager.pixels(order))
        assert lazy.content_digests(order) == eager.content_digests(order)


def test_an_image_is_decoded_once_and_only_when_asked_for(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    decode = image_folder.Decoder.__call__

    def counting(self: image_folder.Decoder, data: bytes, where: str) -> np.ndarray:
        decoded.append(Path(where).name)
        return decode(self, data, where)

    monkeypatch.setattr(image_folder.Decoder, "__call__", counting)
    dataset = open_dataset(config(photos), "train")
    decoded.clear()  # of the first image, which the shape is read from
    dataset.pixels(np.array([3, 1, 3]))
    dataset.content_digests(np.array([1]))
    assert sorted(decoded) == ["0001.png", "0002.png"]
    whole = dataset.in_memory
    assert whole is not None
    assert len(decoded) == 5
    assert np.array_equal(whole, dataset.pixels(np.arange(5)))


def test_a_tar_that_changes_between_two_stages_is_read_anew(
    photos: Path, packed: Callable[..., Path]
) -> None:
    before = describe(config(packed("gz")))
    assert describe(config(packed("gz"))).sha256 == before.sha256
    Image.new("RGB", (4, 6), "red").save(first_image(photos))
    assert describe(config(packed("gz"))).sha256 != before.sha256


def test_images_of_many_sizes_are_resized_or_refused(photos: Path) -> None:
    Image.new("RGB", (9, 5), "red").save(first_image(photos))
    with pytest.raises(InputError, match=r"pixels, and .* data\.image_size \[height, width\]"):
        open_dataset(config(photos), "test").images(np.arange(3))
    resized = open_dataset(config(photos, (8, 10)), "test")
    assert resized.input_shape == describe(config(photos, (8, 10))).input_shape == (3, 8, 10)
    assert resized.images(np.arange(3)).shape == (3, 3, 8, 10)


def test_grey_palette_and_transparent_images_become_colour(photos: Path) -> None:
    for mode in ("L", "P", "RGBA", "1", "I;16"):
        Image.new(mode, (4, 6)).save(first_image(photos))
        assert open_dataset(config(photos), "test").input_shape == (3, 6, 4)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_has_the_shades_of_its_8_bit_copy(photos: Path, suffix: str) -> None:
    shades = np.arange(24, dtype=np.uint16).reshape(6, 4) * 11
    first_image(photos).unlink()
    file = first_image(photos).with_suffix(f".{suffix}")
    for mode in ("L", "RGB"):
        Image.fromarray(shades * 257).save(file)
        seen = open_dataset(config(photos, mode=mode), "test").pixels(np.arange(1))[0]
        assert np.array_equal(seen, np.broadcast_to(shades, seen.shape))


def test_grey_of_32_bits_is_refused(photos: Path) -> None:
    first_image(photos).unlink()
    for mode in ("I", "F"):
        Image.new(mode, (4, 6), 70_000).save(first_image(photos).with_suffix(".tiff"))
        with pytest.raises(InputError, match=f"cannot be decoded .*mode {mode}, of 32 bits.: repl"):
            open_dataset(config(photos), "test")


def test_mode_l_gives_one_channel(photos: Path) -> None:
    assert describe(config(photos, mode="L")).input_shape == (1, 6, 4)
    assert open_dataset(config(photos, mode="L"), "test").images(np.arange(3)).shape == (3, 1, 6, 4)


def test_files_that_are_no_images_are_passed_over(photos: Path) -> None:
    (photos / "test" / "cat" / "notes.txt").write_text("not an image")
    (photos / "test" / "cat" / "._0000.png").write_text("what some systems leave behind")
    (photos / "test" / ".thumbnails").mkdir()
    (photos / "test" / ".thumbnails" / "1.png").write_text("nor this")
    assert describe(config(photos)).test_images == 3


class TestBadInput:
    def test_no_such_path(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no folder or tar file .*gone\.tar"):
            describe(config(tmp_path / "gone.tar"))

    def test_an_image_that_cannot_be_decoded_is_named(self, photos: Path) -> None:
        data = first_image(photos).read_bytes()
        for broken in (data[: len(data) // 2], b"", b"no image"):
            first_image(photos).write_bytes(broken)
            with pytest.raises(InputError, match=r"0000\.png cannot be decoded"):
                open_dataset(config(photos), "test").pixels(np.arange(3))

    def test_an_image_in_a_tar_that_cannot_be_decoded_is_named(
        self, photos: Path, packed: Callable[..., Path]
    ) -> None:
        first_image(photos).write_bytes(b"no image")
        with pytest.raises(InputError, match=r"test/cat/0000\.png in .*photos\.tar cannot be dec"):
            open_dataset(config(packed()), "test").pixels(np.arange(3))

    @pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
    @pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
    def test_a_truncated_tar_is_refused(
        self, packed: Callable[..., Path], compression: str, share: float
    ) -> None:
        tar = packed(compression)
        data = tar.read_bytes()
        if not compression:  # the padding at the end of a plain tar is no loss
            data = data.rstrip(b"\0")
        tar.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError, match=r"cannot be read as a tar file"):
            describe(config(tar))

    def test_a_file_that_is_no_tar_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "data.tar").write_text("hello")
        with pytest.raises(InputError, match="cannot be read as a tar file"):
            describe(config(tmp_path / "data.tar"))

    def test_a_missing_split_names_the_field(self, photos: Path) -> None:
        with pytest.raises(InputError, match=r"no images in val/.*data\.image_folder\.test"):
            describe(config(photos, test="val"))

    def test_an_empty_split_is_refused(self, photos: Path) -> None:
        for file in (photos / "train").rglob("*.png"):
            file.unlink()
        with pytest.raises(InputError, match="has no images in train/"):
            describe(config(photos))

    def test_images_without_a_class_folder_are_refused(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            (tmp_path / split).mkdir()
            Image.new("RGB", (4, 6)).save(tmp_path / split / "0.png")
        with pytest.raises(InputError, match="has no images in train/<class>/"):
            describe(config(tmp_path))

    def test_wrong_classes_are_listed(self, photos: Path) -> None:
        with pytest.raises(InputError, match="missing: cow; unexpected: dog"):
            describe(config(photos, classes=("cat", "cow")))

    def test_splits_with_different_classes_are_refused(self, photos: Path) -> None:
        (photos / "test" / "dog").rename(photos / "test" / "cow")
        with pytest.raises(InputError, match=r"do not have the same class folders .cow, dog"):
            describe(config(photos))
