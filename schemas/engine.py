"""Compiled engines, what they were made from, and what they are made of."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from schemas.artifact import ArtifactRef, Sha256
from schemas.base import Gate, Strict, Target


def _as_text(value: object) -> object:
    """YAML reads 8.6 as a number; a compute capability is a name."""
    return f"{value:.1f}" if isinstance(value, float) else value


ComputeCapability = Annotated[
    str, BeforeValidator(_as_text), StringConstraints(pattern=r"^\d+\.\d$")
]
Precision = Literal["float32", "float16", "int8", "int8+fp16"]
FurtherPrecision = Literal["float16", "int8+fp16"]


class ShapeRange(Strict):
    """What sizes an input with dynamic dimensions may have, in the order of its dimensions."""

    min: tuple[PositiveInt, ...]
    opt: tuple[PositiveInt, ...] = Field(description="the sizes to be fastest at")
    max: tuple[PositiveInt, ...]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not len(self.min) == len(self.opt) == len(self.max):
            raise ValueError("min, opt and max differ in length: give each as many dimensions")
        if any(a > b or b > c for a, b, c in zip(self.min, self.opt, self.max, strict=True)):
            raise ValueError(
                "min, opt and max are out of order: give every dimension min <= opt <= max"
            )
        return self


class FusionContract(Strict):
    """What must hold in a compiled INT8 plan, or the build's gate fails and names the nodes."""

    convs_int8: Literal["all"] | None = Field(
        default=None, description="all: every convolution runs INT8, save those in float_convs"
    )
    float_convs: tuple[str, ...] | None = Field(
        default=None,
        description="the ONNX nodes (* stands for anything) whose convolutions may run in float",
    )
    standalone_adds: NonNegativeInt | None = Field(
        default=None, description="most residual Adds that no convolution or matmul is fused with"
    )
    max_kernels: PositiveInt | None = Field(
        default=None, description="most kernels that the plan may have"
    )
    max_reformats: NonNegativeInt | None = Field(
        default=None, description="most kernels that only change a tensor's format or precision"
    )


class OpenVinoConfig(Strict):
    """The embedded CPU engine."""

    contract: FusionContract | None = None


class TensorRtOptions(Strict):
    """What TensorRT and TensorRT for RTX have in common. Networks are strongly typed always."""

    batch_sizes: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(1, 1, 128),
        description="smallest, usual and largest batch, where the graph's is dynamic",
    )
    profiles: tuple[dict[str, ShapeRange], ...] = Field(
        default=(),
        description="optimization profiles: a range for each dynamic input, by name; "
        "left out: one profile made from batch_sizes",
    )
    optimization_level: int | None = Field(
        default=None, ge=0, le=5, description="0 builds fastest, 5 searches longest"
    )
    workspace_bytes: PositiveInt | None = Field(
        default=None, description="scratch memory for kernels; left out: TensorRT decides"
    )
    timing_cache: Path | None = Field(
        default=None,
        description="folder of kernel timings, kept apart by version, GPU and driver and reused "
        "by later builds; left out: none",
    )
    pin_timings: bool = Field(
        default=False,
        description="fail rather than measure a kernel that the timing cache lacks, so that "
        "building again gives the same plan",
    )
    refit: bool = Field(
        default=False,
        description="weights can be replaced in the built plan; TensorRT for RTX then needs a GPU "
        "to build",
    )
    sparse_weights: bool = Field(
        default=False, description="let kernels use 2:4 sparsity where the weights have it"
    )
    retry_unquantized: NonNegativeInt = Field(
        default=3, description="how many nodes without an INT8 kernel may be left in float"
    )
    contract: FusionContract | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        smallest, usual, largest = self.batch_sizes
        if not smallest <= usual <= largest:
            raise ValueError(
                f"batch_sizes {list(self.batch_sizes)}: give the smallest, usual and largest"
            )
        if self.pin_timings and self.timing_cache is None:
            raise ValueError(
                "pin_timings has nothing to take timings from: name a folder with timing_cache"
            )
        return self


class TensorRtRtxConfig(TensorRtOptions):
    """TensorRT for RTX: plans are built ahead of time, without a GPU."""

    compute_capability: ComputeCapability = Field(
        default="8.6", description="GPU generation to compile for: 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"
    )
    also_compute_capabilities: tuple[ComputeCapability, ...] = Field(
        default=(), description="further GPU generations that the same plan shall run on"
    )
    timeout_s: PositiveFloat = 600.0


class TensorRtConfig(TensorRtOptions):
    """TensorRT: built on the GPU that will run the plan."""

    hardware_compatibility: Literal["none", "ampere_plus", "same_compute_capability"] = Field(
        default="none", description="other GPUs that the plan shall run on"
    )
    version_compatible: bool = Field(
        default=False, description="the plan also loads in later versions of the same major number"
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
    also_precisions: tuple[FurtherPrecision, ...] = Field(
        default=(),
        description="further plans beside INT8 and FP32, timed with them where the engine runs: "
        "float16, which INT8 has to beat on a GPU, and of tensorrt and tensorrt_rtx int8+fp16",
    )

    @model_validator(mode="after")
    def _has_a_compiler_for_them(self) -> Self:
        if "int8+fp16" in self.also_precisions and not (self.tensorrt or self.tensorrt_rtx):
            raise ValueError(
                "int8+fp16 has no compiler here: add tensorrt or tensorrt_rtx beside it"
            )
        if len(set(self.also_precisions)) < len(self.also_precisions):
            raise ValueError(f"also_precisions {list(self.also_precisions)}: name each once")
        return self


class TensorInfo(Strict):
    name: str
    dtype: str
    shape: tuple[int, ...] = Field(description="-1 stands for a dynamic dimension")


class Layer(Strict):
    """One kernel of a compiled plan."""

    name: str
    type: str = Field(description="the compiler's own word for it, such as 'correlation'")
    onnx_nodes: tuple[str, ...] = Field(default=(), description="nodes that the kernel computes")
    onnx_ops: tuple[str, ...] = Field(default=(), description="their operators, where known")
    input_dtypes: tuple[str, ...] = ()
    output_dtypes: tuple[str, ...] = ()
    input_formats: tuple[str, ...] = ()
    output_formats: tuple[str, ...] = ()
    tactic: str = Field(default="", description="the kernel chosen, by the compiler's name")
    is_convolution: bool = False
    is_matmul: bool = False
    is_integer: bool | None = Field(
        default=False, description="its data input is int8 or uint8; None: the table does not say"
    )
    is_reformat: bool = Field(
        default=False, description="it only changes a tensor's format or precision"
    )
    is_qdq: bool = Field(
        default=False, description="a Q or DQ left over as a kernel of its own, inside the network"
    )
    time_ms: float | None = Field(default=None, description="median of one inference, if measured")


class LayerTable(Strict):
    """The layers as the compiler wrote them down, in order of execution."""

    source: str = Field(description="where the table was read from")
    layers: tuple[Layer, ...]

    @property
    def kernels(self) -> int:
        """Layers that compute; shape arithmetic and stream synchronization do not."""
        return sum(layer.type not in ("shape_call", "signal", "wait") for layer in self.layers)

    @property
    def time_ms(self) -> float | None:
        """All layers' time together; None where none was measured."""
        return _time_ms(self.layers)

    @property
    def float_convolutions(self) -> tuple[Layer, ...]:
        return tuple(x for x in self.layers if x.is_convolution and x.is_integer is False)

    @property
    def integer_convolutions(self) -> tuple[Layer, ...]:
        return tuple(x for x in self.layers if x.is_convolution and x.is_integer)


class LayerPair(Strict):
    """Layers of two plans that compute the same ONNX nodes."""

    nodes: tuple[str, ...]
    left: tuple[Layer, ...]
    right: tuple[Layer, ...]

    @property
    def left_ms(self) -> float | None:
        return _time_ms(self.left)

    @property
    def right_ms(self) -> float | None:
        return _time_ms(self.right)


def _time_ms(layers: tuple[Layer, ...]) -> float | None:
    """Their time together; None where none was measured."""
    times = [layer.time_ms for layer in layers if layer.time_ms is not None]
    return sum(times) if times else None


class Manifest(Strict):
    """What a plan is, where it came from and where it runs."""

    engine: Target
    precision: Precision
    graph_sha256: Sha256 = Field(description="the compiled ONNX, with its external data")
    plan_sha256: Sha256
    plan_bytes: NonNegativeInt
    fingerprint: dict[str, str] = Field(description="versions, processor or GPU, driver")
    options: dict[str, JsonValue]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    build_s: float
    peak_memory_bytes: NonNegativeInt | None = None
    unquantized_nodes: tuple[str, ...] = Field(
        default=(), description="ONNX nodes left in float because no INT8 kernel was found"
    )
    contract: tuple[Gate, ...] = Field(
        default=(), description="what the fusion contract demanded, and whether it held"
    )
    seal: str = Field(default="", description="digest over the other fields, so that edits show")


class EngineResult(Strict):
    plan: ArtifactRef
    manifest: ArtifactRef
    layers: ArtifactRef = Field(description="JSON: a LayerTable")
