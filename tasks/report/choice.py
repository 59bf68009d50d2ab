"""Which plan is delivered under an engine's name: INT8, or FP32 where INT8 is not worth it."""

from dataclasses import dataclass
from typing import Literal

from schemas.base import Gate, Target
from schemas.evaluate import Accuracy
from schemas.job import Job
from schemas.profiling import Speedup, threads_of


@dataclass(frozen=True)
class Delivery:
    """What is delivered, and why in words; empty where the job leaves no choice."""

    precision: Literal["int8", "float32"]
    why: str


def choose_delivery(job: Job, accuracy: Accuracy, speedups: list[Speedup]) -> Delivery:
    """The fastest plan within the job's accuracy; INT8 where the job does not ask.

    ``accuracy`` is the INT8 engine's and ``speedups`` are INT8 over FP32 in this run. INT8 has to
    be faster for sure, its interval above 1, at one thread count at least and slower at none;
    without a measurement it counts as faster.
    """
    if job.deliver == "int8":
        return Delivery("int8", "")
    bound = job.accuracy.max_drop_points
    if accuracy.drop_points > bound:
        return Delivery(
            "float32",
            f"INT8 lost {accuracy.drop_points:.2f} points, at most {bound:g} allowed",
        )
    if not speedups:
        return Delivery("int8", "INT8 is within the bound; its speed was not measured here")
    figures = ", ".join(
        f"{x.ratio:.2f} times ({x.ratio_low:.2f} to {x.ratio_high:.2f}) on {threads_of(x.threads)}"
        for x in speedups
    )
    faster = any(x.ratio_low > 1 for x in speedups) and all(x.ratio_high >= 1 for x in speedups)
    if faster:
        return Delivery("int8", f"INT8 is within the bound and faster than FP32: {figures}")
    return Delivery("float32", f"INT8 is not faster than FP32 in the same run: {figures}")


def delivered_gates(
    gates: tuple[Gate, ...],
    deliveries: dict[Target, Delivery],
    names: dict[Target, str],
    float32: Accuracy,
    job: Job,
) -> tuple[Gate, ...]:
    """The accuracy gates, of the FP32 network where its plan is delivered.

    ``names`` are what the INT8 gates call each engine.
    """
    swapped = {names[t]: d for t, d in deliveries.items() if d.precision == "float32"}
    result = []
    for gate in gates:
        engine, _, demand = gate.name.partition(": ")
        delivery = swapped.get(engine)
        if delivery is None:
            result.append(gate)
        elif demand == "accuracy.min_top1":
            least = job.accuracy.min_top1 or 0.0
            result.append(
                Gate(
                    name=f"{engine}: FP32 delivered: {demand}",
                    passed=float32.top1 >= least,
                    detail=f"top-1 {float32.top1:.4f}, at least {least:g} demanded",
                )
            )
        else:
            result.append(
                Gate(
                    name=f"{engine}: FP32 delivered: {demand}",
                    passed=True,
                    detail=f"{delivery.why}: the FP32 plan is delivered, which loses nothing",
                )
            )
    return tuple(result)
