"""Repairing an exported graph, with proof that nothing broke."""

from typing import Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveFloat

from schemas.artifact import ArtifactRef
from schemas.base import Gate, Strict, Target

Precision = Literal["int8", "int8+fp16"]


class SurgeryConfig(Strict):
    """What a repaired graph is made of, and how far it may be from the torch INT8 model."""

    precision: Precision = Field(
        default="int8", description="int8+fp16: what is not quantized computes in float16"
    )

    max_noise_ratio: PositiveFloat = Field(
        default=1.1,
        description="RMS distance of the logits from FP32, over that of the torch INT8 model: "
        "above 1, surgery has added rounding noise; independent of a network's depth and scales",
    )
    max_difference_steps: NonNegativeFloat = Field(
        default=16.0,
        description="largest logit difference to the torch INT8 model, in output steps: a coarse "
        "bound on the one worst logit, which grows with depth",
    )
    min_top1_agreement: float = Field(
        default=0.95, ge=0, le=1, description="share of the parity images with the same top-1"
    )


class Skip(Strict):
    """Something a pass could have changed and did not."""

    node: str
    reason: str


class PassRecord(Strict):
    """What one pass did to the graph."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    name: str
    changed: tuple[str, ...] = Field(description="nodes or tensors, by name")
    left_alone: tuple[Skip, ...] = ()
    summary: str = Field(description="what was done, in words; or why it did not run")
    skipped: bool = False
    keeps_values: bool = Field(description="its output must be bit-equal to its input's")
    bit_equal: bool | None = Field(
        default=None, description="with the graph before this pass; None: not measured"
    )
    max_abs_difference: float | None = Field(
        default=None, description="against the graph before this pass; None: not measured"
    )
    max_difference_steps: float | None = Field(
        default=None, description="the same in quantization steps of the output"
    )
    top1_agreement: float | None = Field(
        default=None, description="with the graph before this pass; None: not measured"
    )


class Parity(Strict):
    """The repaired graph against something that should compute the same.

    The differences are infinite where an output has another shape.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    against: str
    images: int
    bit_equal: bool
    max_abs_difference: float
    max_difference_steps: float = Field(description="in quantization steps of the output tensor")
    top1_agreement: float


class Finding(Strict):
    """Something a compiler would refuse or make little of."""

    code: str = Field(description="stable: QDQ1xx errors, QDQ2xx warnings")
    severity: Literal["error", "warning"]
    node: str
    message: str = Field(description="the rule that is broken, and how")
    fix: str


class LintReport(Strict):
    target: Target
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(x for x in self.findings if x.severity == "error")


class Difference(Strict):
    kind: Literal["interface", "removed", "added", "operator", "grid", "edge", "initializer"]
    text: str
    nodes: tuple[str, ...]


class GraphDiff(Strict):
    """How one graph differs from another."""

    same: bool
    nodes_before: int
    nodes_after: int
    differences: tuple[Difference, ...]


class LayerDifference(Strict):
    """The operator whose output surgery moved most, in steps of the quantizer behind it."""

    node: str
    op: str
    max_difference_steps: float


class SurgeryReport(Strict):
    target: Target
    passes: tuple[PassRecord, ...]
    parity: tuple[Parity, ...]
    worst_layer: LayerDifference | None = Field(
        default=None, description="None: no operator is in both graphs"
    )
    gates: tuple[Gate, ...]
    nodes_before: dict[str, int] = Field(description="count by operator")
    nodes_after: dict[str, int]


class SurgeryResult(Strict):
    graph: ArtifactRef
    report: ArtifactRef
