"""Proof that a repaired graph computes what the network computed."""

from collections import Counter

import numpy as np
import onnx
from numpy.typing import NDArray

from schemas.base import Gate, Target
from schemas.surgery import Parity, PassRecord, SurgeryConfig, SurgeryReport
from tasks.surgery.graph import from_model, producer
from tasks.surgery.quantizers import grid_of, has_grid, is_q
from tasks.surgery.reference import ReferenceSession
from tasks.surgery.repair import steps

Array = NDArray[np.float32]


def prove(
    raw: onnx.ModelProto,
    repaired: onnx.ModelProto,
    images: Array,
    torch_logits: Array,
    target: Target,
    config: SurgeryConfig,
    records: tuple[PassRecord, ...],
) -> SurgeryReport:
    """Compare the repaired graph with the raw one, pass by pass, and with the torch INT8 network.

    ``images: float32[N, C, H, W]``; ``torch_logits: float32[N, classes]``, what torch gave for
    them. ONNX Runtime computes both graphs with its optimizations off. Gates: passes that keep
    values are bit-equal, and the whole is as close to torch as ``config`` demands.
    """
    step = output_step(raw)
    measured, kept = _measure_passes(raw, images, target, step)
    if [r.name for r in measured] != [r.name for r in records]:
        raise ValueError(f"records are of another pipeline than {target}'s")
    before = ReferenceSession(raw).logits(images)
    after = ReferenceSession(repaired).logits(images)
    torch_int8 = torch_logits[: len(after)].reshape(len(after), -1)
    against_torch = compare("torch int8", after, torch_int8, step)
    parity = (
        compare("raw export, by the passes that keep values", kept, before, step),
        compare("raw export", after, before, step),
        against_torch,
    )
    return SurgeryReport(
        target=target,
        passes=measured,
        parity=parity,
        gates=(*_keeping(measured), *_closeness(against_torch, config)),
        nodes_before=dict(Counter(node.op_type for node in raw.graph.node)),
        nodes_after=dict(Counter(node.op_type for node in repaired.graph.node)),
    )


def compare(against: str, ours: Array, theirs: Array, step: float) -> Parity:
    """``ours`` and ``theirs: float32[N, values]``, ``step`` the output's scale."""
    difference = float(np.max(np.abs(ours.astype(np.float64) - theirs.astype(np.float64))))
    return Parity(
        against=against,
        images=len(ours),
        bit_equal=bool(np.array_equal(ours, theirs)),
        max_abs_difference=difference,
        max_difference_steps=difference / step,
        top1_agreement=float(np.mean(ours.argmax(1) == theirs.argmax(1))),
    )


def output_step(model: onnx.ModelProto) -> float:
    """The scale of the quantizer nearest to the first output.

    It is the size of one quantization step of the logits where the network quantizes them, and of
    the last activations where it does not.
    """
    graph = from_model(model)
    seen: set[int] = set()
    frontier = [graph.outputs[0]]
    constants = {
        node.outputs[0].name: node for node in graph.nodes if node.op == "Constant" and node.outputs
    }
    while frontier:
        tensor = frontier.pop(0)
        node = producer(tensor)
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if is_q(node):
            source = constants.get(node.inputs[1].name)
            if source is not None and "value" in source.attrs:
                return float(np.asarray(source.attrs["value"].values).max())
            if has_grid(node):
                return float(grid_of(node).scale.max())
        frontier.extend(node.inputs)
    return 1.0


def _measure_passes(
    raw: onnx.ModelProto, images: Array, target: Target, step: float
) -> tuple[tuple[PassRecord, ...], Array]:
    """The records with differences, and the logits behind the leading value-keeping passes."""
    logits = ReferenceSession(raw).logits(images)
    kept, leading = logits, True
    records = []
    for record, model in steps(raw, target):
        leading = leading and (record.keeps_values or model is None)
        if model is None:
            records.append(record)
            continue
        now = ReferenceSession(model).logits(images)
        found = compare(record.name, now, logits, step)
        records.append(
            record.model_copy(
                update={
                    "max_abs_difference": found.max_abs_difference,
                    "max_difference_steps": found.max_difference_steps,
                    "top1_agreement": found.top1_agreement,
                }
            )
        )
        logits = now
        kept = now if leading else kept
    return tuple(records), kept


def _keeping(records: tuple[PassRecord, ...]) -> tuple[Gate, ...]:
    bound = [r for r in records if r.keeps_values and r.max_abs_difference is not None]
    broken = [r for r in bound if r.max_abs_difference != 0.0]
    detail = (
        f"{len(bound)} passes, each bit-equal to the graph before it"
        if not broken
        else "; ".join(f"{r.name} is {r.max_abs_difference:g} off" for r in broken)
    )
    return (Gate(name="surgery keeps values", passed=not broken, detail=detail),)


def _closeness(parity: Parity, config: SurgeryConfig) -> tuple[Gate, ...]:
    return (
        Gate(
            name="surgery difference to torch",
            passed=parity.max_difference_steps <= config.max_difference_steps,
            detail=f"{parity.max_difference_steps:.2f} output steps, "
            f"at most {config.max_difference_steps:g} allowed",
        ),
        Gate(
            name="surgery top-1 agreement with torch",
            passed=parity.top1_agreement >= config.min_top1_agreement,
            detail=f"{parity.top1_agreement:.2%} of {parity.images} images, "
            f"at least {config.min_top1_agreement:.2%} required",
        ),
    )
