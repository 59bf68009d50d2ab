"""From a job's data section to images, and to the digest that stands for them."""

import hashlib
from collections.abc import Sequence

import numpy as np

from schemas.calibrate import Split as SplitName
from schemas.data import DataConfig, DataRef
from schemas.errors import InputError
from tasks.datasets import cifar10, factory, fashion_mnist, image_folder
from tasks.datasets.dataset import Dataset, Split
from tasks.datasets.resize import Resize, resized


def open_dataset(config: DataConfig, split: SplitName) -> Dataset:
    """One split of the job's dataset, resized and normalised as the job says.

    Paths are taken as they are. Images in folders are decoded when they are first asked for.

    Raises InputError where the dataset is missing, empty, damaged or has the wrong classes.
    """
    if config.image_folder is not None:
        images = image_folder.load(config.image_folder, split, _resize(config))
    else:
        images = resized(_load(config, split), _resize(config))
    return Dataset(f"{source_name(config)} {split}", images, config.mean, config.std)


def describe(config: DataConfig) -> DataRef:
    """What the dataset holds, with a digest that does not depend on where it lies.

    Reads every image, and decodes as few as it can. Raises InputError as ``open_dataset`` does.
    """
    if config.image_folder is not None:
        return _describe_folder(config)
    train, test = _load(config, "train"), _load(config, "test")
    if train.classes != test.classes or train.shape != test.shape:
        raise InputError(
            f"{source_name(config)}: train has {len(train.classes)} classes of {train.shape} and "
            f"test {len(test.classes)} of {test.shape}: return the same of both"
        )
    channels = train.shape[0]
    return DataRef(
        config=config,
        sha256=_content_sha256((train, test)),
        num_classes=len(train.classes),
        classes=train.classes,
        input_shape=(channels, *(config.image_size or train.shape[1:])),
        train_images=len(train.labels),
        test_images=len(test.labels),
    )


def source_name(config: DataConfig) -> str:
    """The dataset in a word, for messages."""
    if config.image_folder is not None:
        return str(config.image_folder.path)
    if config.factory is not None:
        return config.factory.factory
    return "Fashion-MNIST" if config.fashion_mnist is not None else "CIFAR-10"


def _resize(config: DataConfig) -> Resize | None:
    return None if config.image_size is None else Resize(config.image_size, config.center_crop)


def _load(config: DataConfig, split: SplitName) -> Split:
    if config.fashion_mnist is not None:
        return fashion_mnist.load(config.fashion_mnist, split)
    if config.cifar10 is not None:
        return cifar10.load(config.cifar10, split)
    assert config.factory is not None  # DataConfig holds exactly one source
    return factory.load(config.factory, split)


def _describe_folder(config: DataConfig) -> DataRef:
    assert config.image_folder is not None
    container, train, test = image_folder.both_listings(config.image_folder)
    decode = image_folder.Decoder(config.image_folder.mode, _resize(config))
    return DataRef(
        config=config,
        sha256=image_folder.content_sha256(container, (train, test)),
        num_classes=len(train.classes),
        classes=train.classes,
        input_shape=image_folder.first_shape(container, train, decode),
        train_images=len(train.members),
        test_images=len(test.members),
    )


def _content_sha256(splits: Sequence[Split]) -> str:
    total = hashlib.sha256()
    for split in splits:
        total.update(repr((split.classes, split.shape, len(split.labels))).encode())
        total.update(split.labels.tobytes())
        for start in range(0, len(split.labels), 4096):
            indices = np.arange(start, min(start + 4096, len(split.labels)), dtype=np.int64)
            total.update(np.ascontiguousarray(split.pixels(indices)).tobytes())
    return total.hexdigest()
