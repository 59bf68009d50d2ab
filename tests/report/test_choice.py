"""Which plan is delivered."""

import pytest

from schemas.base import Gate
from schemas.evaluate import Accuracy
from schemas.job import Job
from schemas.profiling import Speedup
from tasks.report.choice import Delivery, choose_delivery, delivered_gates

NAME = "openvino int8"


def job(**changes: object) -> Job:
    document = {
        "name": "x",
        "model": {"factory": "a:b", "weights": "w.safetensors"},
        "data": {"fashion_mnist": {}},
        "deliver": "fastest_within_accuracy",
        "accuracy": {"max_drop_points": 0.5, "min_top1": 0.8},
    }
    return Job.model_validate(document | changes)


def lost(points: float, name: str = NAME) -> Accuracy:
    return Accuracy(
        name=name, images=1000, top1=0.9 - points / 100, top5=None, flips=0, flips_to_wrong=0,
        flips_to_right=0, logit_rmse=0.0, drop_points=points, drop_low=0.0, drop_high=0.0,
        p_value=1.0,
    )  # fmt: skip


def times(low: float, ratio: float, high: float, threads: int = 1) -> Speedup:
    return Speedup(engine="openvino", threads=threads, ratio=ratio, ratio_low=low, ratio_high=high)


@pytest.mark.parametrize(
    ("accuracy", "speedups", "precision", "why"),
    [
        (lost(0.1), [times(2.0, 2.1, 2.2)], "int8", "faster than FP32: 2.10 times"),
        (lost(0.1), [times(0.8, 0.9, 0.95)], "float32", "not faster than FP32 in the same run"),
        (lost(0.1), [times(0.9, 1.05, 1.2)], "float32", "not faster"),
        (lost(0.1), [times(1.5, 1.6, 1.7), times(0.7, 0.8, 0.9, 0)], "float32", "all threads"),
        (lost(0.7), [times(2.0, 2.1, 2.2)], "float32", "lost 0.70 points, at most 0.5"),
        (lost(0.1), [], "int8", "not measured here"),
    ],
)
def test_the_fastest_within_the_bound(
    accuracy: Accuracy, speedups: list[Speedup], precision: str, why: str
) -> None:
    delivery = choose_delivery(job(), accuracy, speedups)
    assert delivery.precision == precision
    assert why in delivery.why


def test_int8_is_delivered_whatever_it_is_worth_unless_the_job_asks() -> None:
    slow = [times(0.8, 0.9, 0.95)]
    assert choose_delivery(job(deliver="int8"), lost(9.0), slow) == Delivery("int8", "")


def test_gates_are_those_of_what_is_delivered() -> None:
    gates = (
        Gate(name=f"{NAME}: accuracy.max_drop_points", passed=False, detail="lost 0.70"),
        Gate(name=f"{NAME}: accuracy.min_top1", passed=False, detail="too low"),
        Gate(name="tensorrt_rtx: parity", passed=True, detail=""),
    )
    swapped = delivered_gates(
        gates, {"openvino": Delivery("float32", "INT8 lost 0.70 points")},
        {"openvino": NAME}, lost(0.0, "torch float32"), job(),
    )  # fmt: skip
    assert [gate.passed for gate in swapped] == [True, True, True]
    assert "FP32 delivered" in swapped[0].name
    assert "INT8 lost 0.70 points" in swapped[0].detail
    kept = delivered_gates(
        gates, {"openvino": Delivery("int8", "")}, {"openvino": NAME}, lost(0.0), job()
    )
    assert kept == gates
