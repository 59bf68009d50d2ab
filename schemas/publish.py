"""What is published, and which version of it is the latest."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, StringConstraints

from schemas.artifact import ArtifactRef, Sha256
from schemas.base import Strict, Target
from schemas.engine import Precision

VersionName = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""The first 16 hex digits of the SHA-256 of a version's ``version.json``."""

Format = Literal["folder", "triton"]


class TritonConfig(Strict):
    """What the models of a Triton repository ask of the server."""

    max_batch_size: PositiveInt = Field(
        default=64,
        description="most images that Triton puts into one batch, where the plan takes as many; "
        "OpenVINO's backend computes one fixed size and always gets 1",
    )
    preferred_batch_sizes: tuple[PositiveInt, ...] = Field(
        default=(), description="batch sizes that the dynamic batcher aims for"
    )
    max_queue_delay_us: NonNegativeInt = Field(
        default=100, description="how long a request may wait for others to share a batch with"
    )
    instances: PositiveInt = Field(
        default=1, description="copies of the model that compute at the same time, on each device"
    )


class PublishConfig(Strict):
    """What a run that passed is published as; a job without this section publishes nothing."""

    formats: tuple[Format, ...] = Field(
        default=("folder", "triton"),
        min_length=1,
        description="folder: plans with a script that runs them; triton: a model repository",
    )
    engines: tuple[Target, ...] | None = Field(
        default=None,
        min_length=1,
        description="left out: every engine of the job; onnxruntime stands for the graph that the "
        "first was compiled from",
    )
    triton: TritonConfig = TritonConfig()


class Preprocessing(Strict):
    """From an image file to the network's input."""

    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(description="C, H, W")
    mode: Literal["L", "RGB"] | None = Field(
        description="what Pillow decodes to; None: the network's input is no picture"
    )
    convert: bool = Field(
        description="images of another mode are converted, as the dataset's were; else refused"
    )
    image_size: tuple[PositiveInt, PositiveInt] | None = Field(
        default=None, description="height and width to resize to; None: other sizes are refused"
    )
    center_crop: float | None = Field(
        default=None, description="share of the image cut from its middle before resizing"
    )
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class ServedEngine(Strict):
    """One engine of a published version."""

    engine: Target
    precision: Precision
    file: str | None = Field(description="the plan in the plain folder; None: no such format")
    triton_model: str | None = Field(description="its name in the Triton repository")
    left_out: str | None = Field(default=None, description="why Triton does not get it")
    plan_sha256: Sha256
    top1: float | None = Field(description="measured in the run, as a fraction")


class Served(Strict):
    """``manifest.json``: what an image becomes, and what the answers mean."""

    format: Literal[1] = 1
    job: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    engines: tuple[ServedEngine, ...]


class Version(Strict):
    """``version.json``: everything that a version holds."""

    format: Literal[1] = 1
    served: Served
    files: dict[str, Sha256] = Field(description="by path within the version")


class Package(Strict):
    """A version before it is laid out, by reference."""

    version: VersionName
    formats: tuple[Format, ...]
    manifest: ArtifactRef = Field(description="JSON: a Version")
    files: dict[str, ArtifactRef] = Field(description="by path within the version")


class Promotion(Strict):
    """A version became the latest."""

    version: VersionName
    promoted_at: AwareDatetime
    report_sha256: Sha256 | None = Field(
        default=None, description="digest of the run's report, whose gates all passed"
    )


class Pointer(Strict):
    """``latest.json``: which version is served, and what a rollback goes back to."""

    latest: Promotion
    earlier: tuple[Promotion, ...] = Field(
        default=(),
        description="what was the latest before, oldest first, without what is withdrawn",
    )
    withdrawn: tuple[VersionName, ...] = Field(
        default=(),
        description="rolled back from; none of them is promoted again unless asked for",
    )


class VersionState(Strict):
    """A version as it lies on disk."""

    version: VersionName
    key: str = Field(description="its folder, relative to the artifact store")
    latest: bool
    promoted: Promotion | None = Field(
        description="when it became the latest; None where that is not remembered"
    )
    withdrawn: bool


class Publication(Strict):
    """How an attempt to publish ended."""

    version: VersionName
    promoted: bool
    key: str = Field(description="the version's folder, relative to the artifact store")
    reason: str | None = Field(default=None, description="why it was not promoted")
