"""Compiled engines, what they were made from, and what they are made of."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, NonNegativeInt, PositiveFloat, PositiveInt, StringConstraints

from schemas.artifact import ArtifactRef, Sha256
from schemas.base import Strict, Target

ComputeCapability = Annotated[str, StringConstraints(pattern=r"^\d+\.\d$")]
Precision = Literal["float32", "int8"]
BatchSizes = tuple[PositiveInt, PositiveInt, PositiveInt]


class OpenVinoConfig(Strict):
    """The embedded CPU engine."""


class TensorRtRtxConfig(Strict):
    """TensorRT for RTX: plans are built ahead of time, without a GPU."""

    compute_capability: ComputeCapability = Field(
        default="8.6", description="GPU generation to compile for: 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"
    )
    batch_sizes: BatchSizes = Field(
        default=(1, 1, 128), description="smallest, usual and largest, where the batch is dynamic"
    )
    timeout_s: PositiveFloat = 600.0


class TensorRtConfig(Strict):
    """TensorRT: built on the GPU that will run the plan."""

    workspace_bytes: PositiveInt | None = Field(
        default=None, description="left out: TensorRT decides"
    )
    batch_sizes: BatchSizes = Field(
        default=(1, 1, 128), description="smallest, usual and largest, where the batch is dynamic"
    )
    timeout_s: PositiveFloat = 3600.0


class EnginesConfig(Strict):
    """Which engines to build; leave out what is not wanted.

    Separate optional fields and not a union, because Prefect's form merges the fields of a
    union's arms.
    """

    openvino: OpenVinoConfig | None = None
    tensorrt_rtx: TensorRtRtxConfig | None = None
    tensorrt: TensorRtConfig | None = None


class TensorInfo(Strict):
    name: str
    dtype: str
    shape: tuple[int, ...] = Field(description="-1 stands for a dynamic dimension")


class Layer(Strict):
    """One kernel of a compiled plan."""

    name: str
    type: str = Field(description="the compiler's own word for it, such as 'correlation'")
    onnx_nodes: tuple[str, ...] = ()
    input_dtypes: tuple[str, ...] = ()
    output_dtypes: tuple[str, ...] = ()
    is_convolution: bool = False
    is_matmul: bool = False
    is_integer: bool = Field(default=False, description="its data input is int8 or uint8")
    time_ms: float | None = None


class LayerTable(Strict):
    """The layers as the compiler wrote them down, in order of execution."""

    source: str = Field(description="where the table was read from")
    layers: tuple[Layer, ...]

    @property
    def kernels(self) -> int:
        """Layers that compute; shape arithmetic and stream synchronization do not."""
        return sum(layer.type not in ("shape_call", "signal", "wait") for layer in self.layers)

    @property
    def float_convolutions(self) -> tuple[Layer, ...]:
        return tuple(x for x in self.layers if x.is_convolution and not x.is_integer)

    @property
    def integer_convolutions(self) -> tuple[Layer, ...]:
        return tuple(x for x in self.layers if x.is_convolution and x.is_integer)


class Manifest(Strict):
    """What a plan is, where it came from and where it runs."""

    engine: Target
    precision: Precision
    graph_sha256: Sha256 = Field(description="the ONNX file that was compiled")
    plan_sha256: Sha256
    plan_bytes: NonNegativeInt
    fingerprint: dict[str, str] = Field(description="versions, processor or GPU, driver")
    options: dict[str, JsonValue]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    build_s: float
    peak_memory_bytes: NonNegativeInt | None = None


class EngineResult(Strict):
    plan: ArtifactRef
    manifest: ArtifactRef
    layers: ArtifactRef = Field(description="JSON: a LayerTable")
