"""The images to train, calibrate and evaluate on."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AllowInfNan,
    Field,
    FiniteFloat,
    JsonValue,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from schemas.artifact import Sha256
from schemas.base import DottedName, Strict


class FashionMnist(Strict):
    """70,000 28x28 grey images in 10 classes, as four gzipped IDX files."""

    root: Path | None = Field(
        default=None,
        description="folder of the IDX files; left out: the Debian package dataset-fashion-mnist "
        "where it is installed, else torchvision's download",
    )


class Cifar10(Strict):
    """60,000 32x32 colour images in 10 classes, in torchvision's own format."""

    root: Path | None = Field(
        default=None, description="folder for torchvision's download; left out: the user's cache"
    )


class ImageFolder(Strict):
    """Images as ``<split>/<class>/<name>``, in a folder or inside a tar file (any compression)."""

    path: Path = Field(description="folder or tar file, relative to the job file")
    train: str = Field(default="train", description="folder of the training images")
    test: str = Field(default="test", description="folder of the test images")
    mode: Literal["RGB", "L"] = Field(
        default="RGB", description="what images are converted to: RGB, or L for one grey channel"
    )
    classes: tuple[str, ...] | None = Field(
        default=None,
        description="the class folders expected, in label order; left out: sorted names",
    )


class DatasetFactory(Strict):
    """A callable ``f(split: str, **kwargs)`` returning a sized, indexable set of (image, label)."""

    factory: DottedName
    kwargs: dict[str, JsonValue] = Field(default={})


class DataConfig(Strict):
    """Exactly one source, and how its images become network input.

    The sources are separate optional fields and not a union, because Prefect's form merges the
    fields of a union's arms.
    """

    fashion_mnist: FashionMnist | None = None
    cifar10: Cifar10 | None = None
    image_folder: ImageFolder | None = None
    factory: DatasetFactory | None = None

    image_size: tuple[PositiveInt, PositiveInt] | None = Field(
        default=None, description="height and width in pixels to resize to; left out: as they are"
    )
    center_crop: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of the image to cut from its middle, in the proportions of image_size, "
        "before resizing; 0.875 is usual for ImageNet's networks; left out: the whole image, "
        "stretched",
    )
    mean: tuple[FiniteFloat, ...] = Field(
        default=(0.0,), description="per channel, on the 0..1 scale; one value serves every channel"
    )
    std: tuple[Annotated[PositiveFloat, AllowInfNan(False)], ...] = Field(
        default=(1.0,), description="per channel, on the 0..1 scale"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        names = ("fashion_mnist", "cifar10", "image_folder", "factory")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"got {', '.join(given) or 'none'}: name exactly one of {', '.join(names)}"
            )
        if self.center_crop is not None and self.image_size is None:
            raise ValueError("center_crop needs image_size: give the height and width to resize to")
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean has {len(self.mean)} values and std {len(self.std)}: give as many of each"
            )
        return self


class DataRef(Strict):
    """A dataset as stages get it: where to find it on this machine, and what it holds.

    Only ``sha256`` and the preprocessing are part of a cache key: a moved dataset keeps its hits.
    """

    config: DataConfig
    sha256: Sha256 = Field(description="digest of every image and label, independent of location")
    num_classes: PositiveInt
    classes: tuple[str, ...]
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(description="C, H, W")
    train_images: int
    test_images: int

    def identity(self) -> dict[str, object]:
        """What a cached result depends on: the content and the preprocessing, not the place."""
        preprocessing = self.config.model_dump(
            mode="json", include={"image_size", "center_crop", "mean", "std"}
        )
        return {
            "sha256": self.sha256,
            "classes": self.classes,
            "input_shape": self.input_shape,
            **preprocessing,
        }
