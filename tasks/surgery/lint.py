"""Checking a quantized graph against what compilers can use, without changing it.

The rules follow NVIDIA's advice on placing Q/DQ and the limits of TensorRT's ONNX parser; each has
a code that stays the same from one version to the next.
"""

from collections.abc import Iterator

import onnx
import onnx_graphsurgeon as gs

from schemas.base import Target
from schemas.surgery import Finding, LintReport
from tasks.surgery.contract import Pass
from tasks.surgery.intake import admit
from tasks.surgery.passes.drop_casts import DropCasts
from tasks.surgery.passes.fold_constants import FoldConstants
from tasks.surgery.passes.int8_zero_points import Int8ZeroPoints
from tasks.surgery.passes.integer_weights import IntegerWeights
from tasks.surgery.passes.merge_equal import MergeEqual
from tasks.surgery.passes.relu_before_quantizer import ReluBeforeQuantizer
from tasks.surgery.passes.restore_int8 import RestoreInt8
from tasks.surgery.rules import RULES, Rule
from tasks.surgery.skeleton import graph_with_shapes

# What hides a placement from sight without being one: a Cast, a second DQ of one tensor.
_VEILS: tuple[Pass, ...] = (
    RestoreInt8(),
    DropCasts(),
    Int8ZeroPoints(),
    IntegerWeights(),
    MergeEqual(),
    ReluBeforeQuantizer(),
)


def lint(model: onnx.ModelProto, target: Target) -> LintReport:
    """What ``target``'s compiler would refuse or make little of, with the nodes and the fixes.

    Errors are refused, run in float without a word, or compute something else; warnings cost speed.
    Raises InputError where the graph is not a statically quantized one: no rule would see anything.
    """
    model = admit(model, "int8")
    written, placed = graph_with_shapes(model), graph_with_shapes(model)
    # Constants are constants whether they are initializers or nodes.
    FoldConstants().apply(written)
    findings = list(_check(written, target, "as written"))
    FoldConstants().apply(placed)
    for each in _VEILS:
        if each.requires(placed) is None:
            each.apply(placed)
    findings.extend(_check(placed, target, "placement"))
    findings.sort(key=lambda finding: finding.code)
    return LintReport(target=target, findings=tuple(findings))


def _check(graph: gs.Graph, target: Target, kind: str) -> Iterator[Finding]:
    for rule in RULES:
        if rule.kind == kind and target in rule.targets:
            for node, detail in rule.find(graph):
                yield _finding(rule, node, detail)


def _finding(rule: Rule, node: str, detail: str) -> Finding:
    return Finding(
        code=rule.code,
        severity=rule.severity,
        node=node,
        message=f"{rule.says}: {detail}" if detail else rule.says,
        fix=rule.fix,
    )
