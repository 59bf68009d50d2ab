"""How fast an engine is, against FP32 on the same runtime."""

from pydantic import Field, NonNegativeInt, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict


class ProfileConfig(Strict):
    """Blocks of INT8 and FP32 calls in turn, in one process."""

    batch_size: PositiveInt = 1
    rounds: PositiveInt = Field(default=15, description="how often each contender has its turn")
    warmup_calls: NonNegativeInt = Field(
        default=15, description="unmeasured calls at a turn's start"
    )
    calls: PositiveInt = Field(default=60, description="measured calls of a turn")
    threads: tuple[NonNegativeInt, ...] = Field(
        default=(1, 0), description="thread counts to measure at; 0 stands for all"
    )
    reuse: bool = Field(default=False, description="take an earlier measurement of the same plans")


class Latency(Strict):
    """One contender's distribution over all measured calls."""

    name: str
    precision: str
    threads: int
    batch_size: int
    calls: int
    min_ms: float
    mean_ms: float
    median_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    images_per_second: float = Field(description="batch over the median")


class Speedup(Strict):
    """INT8 over FP32 in one run."""

    engine: str
    threads: int
    ratio: float = Field(description="FP32's median over INT8's; above 1 INT8 is faster")
    ratio_low: float = Field(description="2.5th percentile over the rounds, bootstrapped")
    ratio_high: float = Field(description="97.5th percentile")


class LatencyReport(Strict):
    machine: str
    latencies: tuple[Latency, ...]
    speedups: tuple[Speedup, ...]


class ProfileResult(Strict):
    report: ArtifactRef
