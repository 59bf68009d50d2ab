"""What was built before, and how a build is held against it."""

from typing import Literal

from pydantic import (
    AwareDatetime,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
)

from schemas.artifact import ArtifactRef, Sha256
from schemas.base import Strict, Target
from schemas.profiling import Speedup


class RegressionConfig(Strict):
    """How far a build may fall behind the last good build of its job; beyond, a gate fails."""

    max_top1_loss_points: NonNegativeFloat = Field(
        default=0.3, description="top-1 that an engine may lose, in percentage points"
    )
    max_speedup_loss: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="share of INT8's speed over FP32 that may be lost, beyond what the 95 % "
        "interval allows for; compared on the same machine only",
    )
    max_size_growth: NonNegativeFloat = Field(
        default=0.10, description="share by which a plan may grow"
    )
    max_kernel_growth: NonNegativeFloat = Field(
        default=0.10, description="share by which a plan's kernels may become more"
    )


class StageRecord(Strict):
    """One stage of a build: what it depended on and what it made."""

    name: str = Field(description="the stage's task and target, such as 'engine openvino int8'")
    stage: str = Field(description="the stage's folder, as --refresh takes it")
    key: str | None = Field(description="what its result is cached under; None: never cached")
    cached: bool
    inputs: dict[str, str] = Field(
        description="digests, versions and settings by dotted name, such as 'versions.torch'"
    )
    outputs: dict[str, str] = Field(description="what it returned, in the same form")


class EngineFigures(Strict):
    """What a delivered engine is measured by."""

    engine: Target
    delivered: Literal["int8", "float32"] = Field(
        default="int8",
        # Older records do not have it, and their seal is over what they have.
        exclude_if=lambda precision: precision == "int8",
        description="which of its plans; int8 where it is left out",
    )
    plan_sha256: Sha256
    top1: float | None = Field(description="as a fraction; None: not measured")
    drop_points: float | None = Field(description="top-1 lost against FP32, in points")
    images: PositiveInt | None = Field(
        default=None, description="test images that top-1 was measured on"
    )
    speedups: tuple[Speedup, ...] = Field(
        description="over FP32 in the same run; empty: not run, or FP32 itself"
    )
    batch_size: PositiveInt | None = Field(
        default=None,
        exclude_if=lambda size: size is None,
        description="images a call that the speed was measured with; older records do not say",
    )
    machine: str | None = Field(description="where the speed was measured")
    plan_bytes: NonNegativeInt
    kernels: NonNegativeInt

    @property
    def name(self) -> str:
        """Such as ``openvino``, and ``openvino float32`` where that plan is delivered."""
        return self.engine if self.delivered == "int8" else f"{self.engine} {self.delivered}"


class BuildRecord(Strict):
    """A finished build. Written once; what it says of earlier builds is by their sequence."""

    job: str
    sequence: PositiveInt = Field(description="counts the job's builds; the order of the history")
    finished: AwareDatetime = Field(description="by the clock of the machine that built")
    clock_behind_s: NonNegativeFloat = Field(
        default=0.0, description="by how much that clock is behind the build before"
    )
    run: str = Field(description="id of the Prefect flow run")
    passed: bool
    failed: tuple[str, ...] = Field(description="the gates that did not hold")
    baseline: PositiveInt | None = Field(description="the good build it was compared with")
    stages: tuple[StageRecord, ...]
    versions: dict[str, str]
    machine: dict[str, str]
    engines: tuple[EngineFigures, ...]
    report: ArtifactRef
    seal: str = Field(default="", description="digest over the other fields, so that damage shows")


class Damaged(Strict):
    """A record of the history that cannot be read."""

    key: str
    reason: str


class RetentionPolicy(Strict):
    """Whose files are kept. Reports and the history itself always are."""

    keep_good: PositiveInt = Field(default=5, description="newest good builds of each job")
    keep_days: NonNegativeFloat = Field(
        default=30.0, description="every build, and every cached result, of so many days"
    )
    grace_hours: NonNegativeFloat = Field(
        default=24.0, description="nothing younger is removed, whoever wrote it"
    )


class JobOutcome(Strict):
    """How one job of a nightly ended."""

    job: str
    outcome: Literal["passed", "gates failed", "failed"]
    detail: str = Field(description="what failed, in words; of a good build, its figures")
    sequence: PositiveInt | None = Field(
        default=None, description="the build in the job's history; None: it left none"
    )


class NightlySummary(Strict):
    outcomes: tuple[JobOutcome, ...]

    @property
    def passed(self) -> bool:
        return all(outcome.outcome == "passed" for outcome in self.outcomes)
