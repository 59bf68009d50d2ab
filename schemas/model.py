"""The network to quantize."""

from pathlib import Path
from typing import Self

from pydantic import Field, JsonValue, model_validator

from schemas.artifact import ArtifactRef, Sha256
from schemas.base import DottedName, Strict


class ModelConfig(Strict):
    """A callable that returns a ``torch.nn.Module``, and the weights to load into it."""

    factory: DottedName = Field(
        description="callable that returns the network, as package.module:callable"
    )
    kwargs: dict[str, JsonValue] = Field(
        default={}, description="keyword arguments for the factory"
    )
    weights: Path | None = Field(
        default=None,
        description="safetensors file, relative to the job file; left out: the job trains one",
    )
    pretrained: bool = Field(
        default=False,
        description="the factory gives the network its weights, so the job needs neither a "
        "checkpoint nor a train section",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.pretrained and self.weights is not None:
            raise ValueError("weights and pretrained: keep one, the file's or the factory's")
        return self


class NetworkRef(Strict):
    """A network as stages pass it, its code by digest."""

    factory: DottedName
    kwargs: dict[str, JsonValue] = Field(default={})
    source_sha256: Sha256 = Field(description="digest of the source that the factory is defined in")


class ModelRef(NetworkRef):
    """A network with its FP32 weights."""

    weights: ArtifactRef
