"""Repairing a graph: the pipeline of its target, pass by pass."""

import sys
from collections.abc import Iterator

import onnx
import onnx_graphsurgeon as gs

from schemas.base import Target
from schemas.errors import InputError, cause
from schemas.surgery import PassRecord, Precision, Skip
from tasks.surgery.contract import Changes, Pass, PassError
from tasks.surgery.graph import to_model
from tasks.surgery.intake import STAMP, admit
from tasks.surgery.pipeline import pipeline
from tasks.surgery.skeleton import check, graph_with_shapes

BROKEN = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError)


def repair(
    raw: onnx.ModelProto, target: Target, precision: Precision = "int8"
) -> tuple[onnx.ModelProto, tuple[PassRecord, ...]]:
    """The best graph that ``target``'s compiler can be given, and what each pass did.

    ``raw``: a quantized network as an exporter wrote it; it is left as it is. The result has the
    same inputs and outputs, int8 tensors with zero-point 0, scalar activation scales, int8 weights
    and float32 biases (float16 with ``int8+fp16``), and is checked in full. Raises InputError
    where the graph cannot be used, naming the node.
    """
    graph = graph_with_shapes(admit(raw, precision))
    records = tuple(_run(each, graph)[0] for each in pipeline(target, precision))
    repaired = to_model(graph, raw)
    _stamp(repaired, target, precision)
    _check(repaired, raw)
    return repaired, records


def _check(repaired: onnx.ModelProto, raw: onnx.ModelProto) -> None:
    """Raises InputError where the graph that was given contradicts itself already."""
    try:
        check(repaired)
    except BROKEN:
        try:
            check(raw)
        except BROKEN as error:
            raise InputError(
                f"the graph's types and shapes do not fit together ({cause(error)}): "
                "export it again"
            ) from error
        raise


def steps(
    raw: onnx.ModelProto, target: Target, precision: Precision = "int8"
) -> Iterator[tuple[PassRecord, onnx.ModelProto | None]]:
    """The same, one pass at a time: what it did, and the graph behind it; None where unchanged."""
    graph = graph_with_shapes(admit(raw, precision))
    for each in pipeline(target, precision):
        record, changed = _run(each, graph)
        yield record, to_model(graph, raw) if changed else None


def _stamp(model: onnx.ModelProto, target: Target, precision: Precision) -> None:
    """Say in the file whose dialect it speaks."""
    ours = {STAMP: target, "enginesmith.precision": precision}
    kept = {x.key: x.value for x in model.metadata_props if x.key not in ours}
    onnx.helper.set_model_props(model, {**kept, **ours})


def _run(each: Pass, graph: gs.Graph) -> tuple[PassRecord, bool]:
    reason = each.requires(graph)
    if reason is not None:
        return PassRecord(
            name=each.name,
            changed=(),
            summary=reason,
            skipped=True,
            keeps_values=each.keeps_values,
        ), False
    try:
        changes = each.apply(graph)
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise PassError(f"pass {each.name} failed: {type(error).__name__}: {error}") from error
    broken = each.ensures(graph)
    if broken is not None:
        raise PassError(f"pass {each.name} did not do its work: {broken}")
    record = PassRecord(
        name=each.name,
        changed=tuple(changes.changed),
        left_alone=tuple(Skip(node=node, reason=why) for node, why in changes.skipped),
        summary=_summary(each, changes),
        keeps_values=each.keeps_values,
    )
    return record, bool(changes.changed)


def _summary(each: Pass, changes: Changes) -> str:
    rule = (sys.modules[type(each).__module__].__doc__ or each.name).strip().rstrip(".")
    count = f"{len(changes.changed)} changed" if changes.changed else "nothing to change"
    left = f", {len(changes.skipped)} left alone" if changes.skipped else ""
    return f"{rule}: {count}{left}"
