"""Proof that a repaired graph computes what the network computed."""

from collections import Counter, deque
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from schemas.base import Gate, Target
from schemas.surgery import Parity, PassRecord, Precision, SurgeryConfig, SurgeryReport
from tasks.surgery.graph import from_model, producer
from tasks.surgery.passes.fold_constants import FoldConstants
from tasks.surgery.passes.restore_int8 import RestoreInt8
from tasks.surgery.quantizers import grid_of, has_grid, is_dq, is_q
from tasks.surgery.reference import Outputs, ReferenceSession, flat
from tasks.surgery.repair import steps
from tasks.surgery.worst_layer import fixed_batch, worst_layer

Array = NDArray[np.float32]
_REAL = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


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
    with its optimizations off. Gates: passes that keep values are bit-equal in every output, the
    whole is as close to torch as ``config`` demands, and, where the FP32 network's
    ``float_logits`` are known too, about as close to them as torch INT8 is. The logits are the
    first output.
    """
    grids = output_grids(raw)
    measured = _measure_passes(raw, images, target, config.precision, grids)
    if [r.name for r in measured.records] != [r.name for r in records]:
        raise ValueError(f"records are of another pipeline than {target}'s")
    after = ReferenceSession(repaired).run(images)
    by_keeping = "raw export, by the passes that keep values"
    whole, where = compare_outputs("raw export", after, measured.meant, grids)
    keeping, _ = compare_outputs(by_keeping, measured.kept, measured.meant, grids)
    count = len(images) - len(images) % fixed_batch(raw)
    parity = [x.model_copy(update={"images": count}) for x in (keeping, whole)]
    errors = None
    if torch_logits is not None:
        first, grid = next(iter(grids.items()))
        logits, where = flat(after[first]), first
        torch_int8 = torch_logits[: len(logits)].reshape(len(logits), -1)
        parity.append(compare("torch int8", logits, torch_int8, grid))
        if float_logits is not None:
            truth = float_logits[: len(logits)].reshape(len(logits), -1).astype(np.float64)
            errors = Errors(logits - truth, torch_int8 - truth)
    gates = (*_keeping(measured), *_closeness(parity[-1], where, errors, config))
    if errors is not None:
        gates += (_noise(errors, config),)
    worst = worst_layer(raw, repaired, images)
    return SurgeryReport(
        target=target,
        passes=measured.records,
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
    """The grid of an output: ``step`` is its scale, ``low`` and ``high`` where it saturates."""

    step: float
    low: float = -np.inf
    high: float = np.inf


def compare(against: str, ours: Array, theirs: Array, grid: OutputGrid) -> Parity:
    """``ours`` and ``theirs: float32[N, values]``; of unequal shapes they are infinitely far apart.

    Where the raw graph quantizes its logits they saturate, and ours may not: a difference beyond
    the grid's ends is none.
    """
    if ours.shape != theirs.shape:
        # A detector that finds another number of boxes.
        return Parity(
            against=against,
            images=len(ours),
            bit_equal=False,
            max_abs_difference=np.inf,
            max_difference_steps=np.inf,
            top1_agreement=0.0,
        )
    bounded = [np.clip(x.astype(np.float64), grid.low, grid.high) for x in (ours, theirs)]
    difference = float(np.max(np.abs(bounded[0] - bounded[1]), initial=0.0))
    agrees = ours.argmax(1) == theirs.argmax(1) if ours.size else np.ones(1)
    return Parity(
        against=against,
        images=len(ours),
        bit_equal=bool(np.array_equal(ours, theirs)),
        max_abs_difference=difference,
        max_difference_steps=difference / grid.step,
        top1_agreement=float(np.mean(agrees)),
    )


def compare_outputs(
    against: str, ours: Outputs, theirs: Outputs, grids: dict[str, OutputGrid]
) -> tuple[Parity, str]:
    """How far the output of ``grids`` that moved most did, and which output did.

    Bit-equal are all outputs or none, those without a grid too; the top-1 is the first one's.
    """
    each = {
        name: compare(against, flat(ours[name]), flat(theirs[name]), grid)
        for name, grid in grids.items()
    }
    farthest = max(each, key=lambda name: each[name].max_difference_steps)
    moved = [name for name in theirs if not np.array_equal(ours[name], theirs[name])]
    first = next(iter(each.values()))
    whole = each[farthest].model_copy(
        update={"bit_equal": not moved, "top1_agreement": first.top1_agreement}
    )
    return whole, farthest if farthest in moved else next(iter(moved), farthest)


def output_grids(model: onnx.ModelProto) -> dict[str, OutputGrid]:
    """The grids of the outputs of real numbers by name; of all where none is of such.

    How far labels and indices are apart says nothing.
    """
    graph = from_model(model)
    FoldConstants().apply(graph)
    real = [x.name for x in model.graph.output if x.type.tensor_type.elem_type in _REAL]
    found = {output.name: _output_grid(output) for output in graph.outputs}
    return {name: found[name] for name in real} or found


def _output_grid(output: gs.Tensor) -> OutputGrid:
    """The grid that an output is on, or the scale of the nearest quantizer ahead of it."""
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


@dataclass(frozen=True)
class _Measured:
    """The passes with differences, and for each the output it moved most, "" where none was run.

    ``meant`` is what the raw graph computes, unless a pass finds that the exporter wrote other
    integers than the network had: then what the graph computes behind that pass. ``kept`` is what
    it computes behind the leading passes that keep values.
    """

    records: tuple[PassRecord, ...]
    farthest: tuple[str, ...]
    meant: Outputs
    kept: Outputs


def _measure_passes(
    raw: onnx.ModelProto,
    images: Array,
    target: Target,
    precision: Precision,
    grids: dict[str, OutputGrid],
) -> _Measured:
    before = ReferenceSession(raw).run(images)
    meant = kept = before
    leading = True
    records, farthest = [], []
    for record, model in steps(raw, target, precision):
        if model is None:
            records.append(record)
            farthest.append("")
            continue
        now = ReferenceSession(model).run(images)
        found, output = compare_outputs(record.name, now, before, grids)
        farthest.append(output)
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
        before = now
        if record.name == RestoreInt8.name:
            meant = kept = now
        leading = leading and (record.keeps_values or record.name == RestoreInt8.name)
        kept = now if leading else kept
    return _Measured(tuple(records), tuple(farthest), meant, kept)


def _keeping(measured: _Measured) -> tuple[Gate, ...]:
    bound = [
        (r, output)
        for r, output in zip(measured.records, measured.farthest, strict=True)
        if r.keeps_values and r.bit_equal is not None
    ]
    broken = [(r, output) for r, output in bound if not r.bit_equal]
    detail = (
        f"{len(bound)} passes, each bit-equal to the graph before it"
        if not broken
        else "; ".join(f"{r.name} is {r.max_abs_difference:g} off, in {at!r}" for r, at in broken)
    )
    return (Gate(name="surgery keeps values", passed=not broken, detail=detail),)


def _closeness(
    parity: Parity, output: str, errors: Errors | None, config: SurgeryConfig
) -> tuple[Gate, ...]:
    """A difference may be large where it is no step away from FP32: int8 clips what uint8 keeps."""
    whom = parity.against.removesuffix(" int8")
    steps, most = parity.max_difference_steps, config.max_difference_steps
    ratio = errors.worst_ratio if errors is not None else np.inf
    no_farther = ratio <= config.max_noise_ratio
    detail = f"{steps:.2f} output steps in {output!r}, at most {most:g} allowed"
    if steps > most and no_farther:
        detail = (
            f"{steps:.2f} output steps in {output!r} are more than {most:g}, and the worst logit "
            f"is {ratio:.2f} times as far from FP32 as torch INT8's worst"
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
