"""Where quantization's error enters a network."""

from pydantic import Field, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict, Target


class LayerError(Strict):
    """One layer's output against the FP32 network's: signal over noise power, in dB.

    6 dB are one bit; None: the layer could not be told from its neighbours, or was not run.
    """

    name: str = Field(description="of its node in the exported FP32 graph")
    op: str
    int8_db: float | None = Field(description="PyTorch's INT8 network, from its exported graph")
    graph_db: float | None = Field(description="the repaired graph in ONNX Runtime")
    engine_db: float | None = Field(description="the engine itself; None: it does not run here")
    engine_to_int8_db: float | None = Field(
        description="the engine, or else the graph, against PyTorch's INT8 network"
    )


class LayerErrors(Strict):
    """Every layer in the order of execution, and where to look."""

    target: Target
    images: PositiveInt
    layers: tuple[LayerError, ...]
    enters_at: str | None = Field(description="the layer that loses most against the one before")
    diverges_at: str | None = Field(
        description="the first layer where the engine is not what PyTorch's INT8 network is"
    )
    findings: tuple[str, ...] = Field(description="the same in words")


class LayerErrorsResult(Strict):
    report: ArtifactRef = Field(description="JSON: a LayerErrors")
