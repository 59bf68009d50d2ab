"""Proof that a repaired graph computes what the network computed."""

from collections import Counter, deque
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from schemas.base import Gate, Target
from schemas.surgery import Parity, PassRecord, Precision, SurgeryConfig, SurgeryReport
from tasks.surgery.graph import from_model, producer
from tasks.surgery.passes.fold_constants import FoldConstants
from tasks.surgery.passes.restore_int8 import RestoreInt8
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q
from tasks.surgery.reference import ReferenceSession
from tasks.surgery.repair import steps
from tasks.surgery.worst_layer import worst_layer

Array = NDArray[np.float32]


def prove(
    raw: onnx.ModelProto,
    repaired: onnx.ModelProto,
    images: Array,
    torch_logits: Array | None,
    target: Target,
    config: SurgeryConfig,
    records: tuple[PassRecord, ...],
    float_logits: Array | None = None,
) -> SurgeryReport:
    """Compare the repaired graph with the raw one, pass by pass, and with the torch INT8 network.

    ``images: float32[N, C, H, W]``; ``torch_logits: float32[N, classes]``, what torch gave for
    them, None where nobody knows: then the raw graph stands in. ONNX Runtime computes both graphs
    with its optimizations off. Gates: passes that keep values are bit-equal, the whole is as close
    to torch as ``config`` demands, and, where the FP32 network's ``float_logits`` are known too,
    about as close to them as torch INT8 is.
    """
    grid = output_grid(raw)
    measured, meant, kept = _measure_passes(raw, images, target, config.precision, grid)
    if [r.name for r in measured] != [r.name for r in records]:
        raise ValueError(f"records are of another pipeline than {target}'s")
    after = ReferenceSession(repaired).logits(images)
    parity = [
        compare("raw export, by the passes that keep values", kept, meant, grid),
        compare("raw export", after, meant, grid),
    ]
    if torch_logits is not None:
        torch_int8 = torch_logits[: len(after)].reshape(len(after), -1)
        parity.append(compare("torch int8", after, torch_int8, grid))
    errors = None
    if torch_logits is not None and float_logits is not None:
        truth = float_logits[: len(after)].reshape(len(after), -1).astype(np.float64)
        errors = Errors(after - truth, torch_int8 - truth)
    gates = (*_keeping(measured), *_closeness(parity[-1], errors, config))
    if errors is not None:
        gates += (_noise(errors, config),)
    worst = worst_layer(raw, repaired, images)
    return SurgeryReport(
        target=target,
        passes=measured,
        parity=tuple(parity),
        worst_layer=worst,
        gates=gates,
        nodes_before=dict(Counter(node.op_type for node in raw.graph.node)),
        nodes_after=dict(Counter(node.op_type for node in repaired.graph.node)),
    )


@dataclass(frozen=True)
class Errors:
    """``float64[N, classes]``: the repaired graph's and torch INT8's logits less FP32's."""

    ours: NDArray[np.float64]
    torch_int8: NDArray[np.float64]

    @property
    def worst_ratio(self) -> float:
        """Our logit farthest from FP32, over torch INT8's farthest."""
        return _ratio(np.abs(self.ours).max(), np.abs(self.torch_int8).max())

    @property
    def rms_ratio(self) -> float:
        return _ratio(*(np.sqrt(np.mean(np.square(x))) for x in (self.ours, self.torch_int8)))


def _ratio(ours: float, torch_int8: float) -> float:
    # A network that INT8 represents exactly leaves nothing to divide by.
    return float(ours / torch_int8) if torch_int8 else float(ours > 0) * np.inf


@dataclass(frozen=True)
class OutputGrid:
    """The grid of the logits: ``step`` is its scale, ``low`` and ``high`` where it saturates."""

    step: float
    low: float = -np.inf
    high: float = np.inf


def compare(against: str, ours: Array, theirs: Array, grid: OutputGrid) -> Parity:
    """``ours`` and ``theirs: float32[N, values]``.

    Where the raw graph quantizes its logits they saturate, and ours may not: a difference beyond
    the grid's ends is none.
    """
    bounded = [np.clip(x.astype(np.float64), grid.low, grid.high) for x in (ours, theirs)]
    difference = float(np.max(np.abs(bounded[0] - bounded[1])))
    return Parity(
        against=against,
        images=len(ours),
        bit_equal=bool(np.array_equal(ours, theirs)),
        max_abs_difference=difference,
        max_difference_steps=difference / grid.step,
        top1_agreement=float(np.mean(ours.argmax(1) == theirs.argmax(1))),
    )


def output_grid(model: onnx.ModelProto) -> OutputGrid:
    """The grid that the first output is on, or the scale of the nearest quantizer ahead of it."""
    graph = from_model(model)
    FoldConstants().apply(graph)
    output = graph.outputs[0]
    last = producer(output)
    if last is not None and is_dq(last) and has_grid(last) and grid_of(last).per_tensor:
        found = grid_of(last)
        step, (low, high) = float(found.scale.max()), found.bounds
        point = int(found.zero_point.ravel()[0])
        return OutputGrid(step, (low - point) * step, (high - point) * step)
    seen: set[int] = set()
    frontier = deque([output])
    while frontier:
        node = producer(frontier.popleft())
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if is_q(node) and has_grid(node):
            return OutputGrid(float(grid_of(node).scale.max()))
        frontier.extend(node.inputs)
    return OutputGrid(1.0)


def _measure_passes(
    raw: onnx.ModelProto,
    images: Array,
    target: Target,
    precision: Precision,
    grid: OutputGrid,
) -> tuple[tuple[PassRecord, ...], Array, Array]:
    """The records with differences; the logits meant; those behind the leading exact passes.

    What is meant is what the raw graph computes, unless a pass finds that the exporter wrote
    other integers than the network had: then what the graph computes behind that pass.
    """
    logits = ReferenceSession(raw).logits(images)
    meant = kept = logits
    leading = True
    records = []
    for record, model in steps(raw, target, precision):
        if model is None:
            records.append(record)
            continue
        now = ReferenceSession(model).logits(images)
        found = compare(record.name, now, logits, grid)
        records.append(
            record.model_copy(
                update={
                    "max_abs_difference": found.max_abs_difference,
                    "max_difference_steps": found.max_difference_steps,
                    "top1_agreement": found.top1_agreement,
                    "bit_equal": found.bit_equal,
                }
            )
        )
        logits = now
        if record.name == RestoreInt8.name:
            meant = kept = now
        leading = leading and (record.keeps_values or record.name == RestoreInt8.name)
        kept = now if leading else kept
    return tuple(records), meant, kept


def _keeping(records: tuple[PassRecord, ...]) -> tuple[Gate, ...]:
    bound = [r for r in records if r.keeps_values and r.bit_equal is not None]
    broken = [r for r in bound if not r.bit_equal]
    detail = (
        f"{len(bound)} passes, each bit-equal to the graph before it"
        if not broken
        else "; ".join(f"{r.name} is {r.max_abs_difference:g} off" for r in broken)
    )
    return (Gate(name="surgery keeps values", passed=not broken, detail=detail),)


def _closeness(parity: Parity, errors: Errors | None, config: SurgeryConfig) -> tuple[Gate, ...]:
    """A difference may be large where it is no step away from FP32: int8 clips what uint8 keeps."""
    whom = parity.against.removesuffix(" int8")
    steps, most = parity.max_difference_steps, config.max_difference_steps
    ratio = errors.worst_ratio if errors is not None else np.inf
    no_farther = ratio <= config.max_noise_ratio
    detail = f"{steps:.2f} output steps, at most {most:g} allowed"
    if steps > most and no_farther:
        detail = (
            f"{steps:.2f} output steps are more than {most:g}, and the worst logit is "
            f"{ratio:.2f} times as far from FP32 as torch INT8's worst"
        )
    return (
        Gate(
            name=f"surgery difference to {whom}",
            passed=steps <= most or no_farther,
            detail=detail,
        ),
        Gate(
            name=f"surgery top-1 agreement with {whom}",
            passed=parity.top1_agreement >= config.min_top1_agreement,
            detail=f"{parity.top1_agreement:.2%} of {parity.images} images, "
            f"at least {config.min_top1_agreement:.2%} required",
        ),
    )


def _noise(errors: Errors, config: SurgeryConfig) -> Gate:
    """Whether rounding in other places has made more noise than rounding did before."""
    return Gate(
        name="surgery noise against torch",
        passed=errors.rms_ratio <= config.max_noise_ratio,
        detail=f"logits {errors.rms_ratio:.2f} times as far from FP32 as torch INT8's (RMS), "
        f"at most {config.max_noise_ratio:g} allowed",
    )
