"""How fast an engine is, against FP32 on the same runtime and what a user would run otherwise."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict
from schemas.model import ModelRef

Baseline = Literal[
    "torch",
    "torch_float16",
    "torch_channels_last",
    "torch_compile",
    "torch_graph",
    "onnxruntime",
    "openvino",
    "openvino_float16",
]
"""What a user would run otherwise; torch runs where the engine runs, on the CPU or the GPU."""


QUANTILES = (*range(0, 100, 2), 99)
"""Percentages at which a distribution is kept, to be drawn."""


def threads_of(threads: int) -> str:
    """A thread count in words; 0 stands for all."""
    return {0: "all threads", 1: "1 thread"}.get(threads, f"{threads} threads")


class SweepConfig(Strict):
    """INT8 against FP32 at every batch and image size; what is left out of the profile else."""

    batch_sizes: tuple[PositiveInt, ...] = Field(default=(1, 8, 32), min_length=1)
    image_sizes_px: tuple[PositiveInt, ...] = Field(
        default=(), description="height and width; left out: the job's own"
    )
    rounds: PositiveInt = 5


class ProfileConfig(Strict):
    """Blocks of INT8, FP32 and baseline calls in turn, in one process."""

    batch_size: PositiveInt = 1
    rounds: PositiveInt = Field(default=15, description="how often each contender has its turn")
    warmup_calls: NonNegativeInt = Field(
        default=15, description="unmeasured calls at a turn's start"
    )
    calls: PositiveInt = Field(default=60, description="measured calls of a turn")
    duration_s: PositiveFloat | None = Field(
        default=None, description="go on for at least so long, in further rounds"
    )
    threads: tuple[NonNegativeInt, ...] = Field(
        default=(1, 0),
        min_length=1,
        description="thread counts to measure at; 0 stands for all",
    )
    baselines: tuple[Baseline, ...] = Field(
        default=("torch", "onnxruntime"),
        description="FP32 (or FP16) of the network as the user would run it otherwise; a third of "
        "the calls",
    )
    sweep: SweepConfig | None = Field(
        default=None, description="measure at several batch and image sizes as well"
    )
    layer_calls: NonNegativeInt = Field(
        default=50,
        description="inferences that the time of each layer of the INT8 plan is the median of, "
        "where the engine tells; 0: layers are not timed",
    )
    steady_clocks: Literal["warn", "require"] = Field(
        default="warn", description="require: fail where the clock moved while measuring"
    )
    reuse: bool = Field(default=False, description="take an earlier measurement of the same plans")


class Spread(Strict):
    """A distribution in milliseconds."""

    min_ms: float
    mean_ms: float
    median_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float


class PhaseLatency(Spread):
    """One part of a call: copy in, compute, copy out, or the CPU's queueing of them.

    On a CPU ``compute`` alone: what the engine says its own code takes.
    """

    phase: Literal["h2d", "compute", "d2h", "enqueue"]


class Latency(Strict):
    """One contender's distribution over all measured calls, end to end."""

    name: str
    precision: str
    threads: int
    batch_size: int
    image_size_px: tuple[int, int] | None = Field(default=None, description="height and width")
    calls: int
    min_ms: float
    mean_ms: float
    median_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    coefficient_of_variation: NonNegativeFloat = Field(
        default=0.0, description="standard deviation over the mean"
    )
    images_per_second: float = Field(description="batch over the median: one call at a time")
    streamed_images_per_second: float | None = Field(
        default=None,
        description="with several calls under way, measured once; None: the runtime has no way",
    )
    quantiles_ms: tuple[float, ...] = Field(
        default=(), description="of all measured calls, at 0, 2, 4 ... 98 and 99 per cent"
    )
    phases: tuple[PhaseLatency, ...] = ()


class Speedup(Strict):
    """INT8 over FP32 in one run."""

    engine: str
    threads: int
    ratio: float = Field(
        description="FP32's time over INT8's, each the median of its blocks' medians"
    )
    ratio_low: float = Field(description="2.5th percentile over the rounds, bootstrapped")
    ratio_high: float = Field(description="97.5th percentile")


class Ratio(Strict):
    """One contender over another in the same run; above 1, ``of`` is faster."""

    of: str
    over: str
    threads: int
    batch_size: int
    image_size_px: tuple[int, int]
    ratio: float = Field(description="time of ``over`` by time of ``of``, medians of block medians")
    ratio_low: float = Field(description="2.5th percentile over the rounds, bootstrapped")
    ratio_high: float = Field(description="97.5th percentile")


class Clocks(Strict):
    """What the processor's or GPU's clock did while measuring."""

    source: str = Field(description="where it was read, or 'spin' for a timed fixed computation")
    unit: str
    low: float
    median: float
    high: float
    moved: bool = Field(description="the spread is more than such a measurement's own")


class LatencyReport(Strict):
    machine: str
    latencies: tuple[Latency, ...]
    speedups: tuple[Speedup, ...]
    ratios: tuple[Ratio, ...] = Field(
        default=(),
        description="the first contender over every other, at each size and thread count",
    )
    sweep: tuple[Latency, ...] = ()
    sweep_ratios: tuple[Ratio, ...] = Field(
        default=(), description="INT8 over FP32 at each batch and image size of the sweep"
    )
    layer_times_ms: dict[str, float] = Field(
        default={},
        description="of the INT8 plan's layers by name, one image, one thread: for their shares, "
        "as timing them slows the network down",
    )
    clocks: Clocks | None = None
    notes: tuple[str, ...] = Field(
        default=(), description="what to know before quoting a figure; what was left out, and why"
    )


class ProfileSources(Strict):
    """What baselines and other sizes are made of."""

    model: ModelRef
    float32_graph: ArtifactRef
    int8_graph: ArtifactRef


class ProfileResult(Strict):
    report: ArtifactRef
