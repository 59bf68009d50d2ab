"""The report says what was compared with what, and what was left out."""

import json
import re
from types import SimpleNamespace
from typing import cast

from schemas.profiling import Latency, LatencyReport, PhaseLatency, Ratio, Speedup
from schemas.report import RunReport
from tasks.report.latency import render_latency
from tasks.report.page.latency_charts import distribution_chart, latency_chart


def latency(name: str, median_ms: float, batch_size: int = 1) -> Latency:
    names = ("min_ms", "mean_ms", "median_ms", "p90_ms", "p95_ms", "p99_ms")
    return Latency(
        name=name,
        precision="int8" if "int8" in name else "float32",
        threads=1,
        batch_size=batch_size,
        image_size_px=(28, 28),
        calls=10,
        coefficient_of_variation=0.012,
        images_per_second=batch_size * 1000 / median_ms,
        **dict.fromkeys(names, median_ms),
    )


def ratio(over: str, value: float) -> Ratio:
    return Ratio(
        of="openvino int8", over=over, threads=1, batch_size=1, image_size_px=(28, 28),
        ratio=value, ratio_low=value - 0.1, ratio_high=value + 0.1,
    )  # fmt: skip


def test_ratios_over_baselines_sweep_and_notes_are_there() -> None:
    pair = [latency("openvino int8", 1.0, 8), latency("openvino float32", 3.0, 8)]
    measured = LatencyReport(
        machine="a machine",
        latencies=(*pair, latency("torch float32", 9.0)),
        speedups=(Speedup(engine="openvino", threads=1, ratio=3.0, ratio_low=2.9, ratio_high=3.1),),
        ratios=(ratio("openvino float32", 3.0), ratio("torch float32", 9.0)),
        sweep=tuple(pair),
        sweep_ratios=(ratio("openvino float32", 3.0),),
        notes=("baseline openvino_float16 is left out",),
    )
    page = render_latency(cast(RunReport, SimpleNamespace(latencies=(measured,))))
    assert "INT8 **3.00 times** as fast as FP32 (95 % interval 2.90 to 3.10)" in page
    assert "9.00 times as fast as torch float32 (8.90 to 9.10)" in page
    # Once, not as a ratio over a baseline as well.
    assert page.count("as fast as") == 2
    assert "| 8 x 28x28 | 1.000 | 3.000 | 3.00 (2.90 to 3.10) |" in page
    assert "- note: baseline openvino_float16 is left out" in page
    assert "1.2%" in page


def test_a_plan_in_another_precision_and_the_parts_of_a_call_are_there() -> None:
    names = ("min_ms", "mean_ms", "median_ms", "p90_ms", "p95_ms", "p99_ms")
    part = PhaseLatency(phase="h2d", **dict.fromkeys(names, 0.0271))
    timed = latency("tensorrt int8", 1.0).model_copy(
        update={"phases": (part,), "streamed_images_per_second": 1234.4}
    )
    over = ratio("tensorrt float16", 1.5).model_copy(update={"of": "tensorrt int8"})
    measured = LatencyReport(
        machine="a machine",
        latencies=(timed, latency("tensorrt float16", 1.5)),
        speedups=(Speedup(engine="tensorrt", threads=1, ratio=3.0, ratio_low=2.9, ratio_high=3.1),),
        ratios=(over,),
    )
    page = render_latency(cast(RunReport, SimpleNamespace(latencies=(measured,))))
    assert "1.50 times as fast as tensorrt float16" in page
    assert "| tensorrt int8 | h2d | 0.0271 |" in page
    assert "| 1,000 | 1,234 |" in page


def two_engines() -> list[Latency]:
    """Engines on the CPU and on a GPU, of each its own baseline, and one of them measured twice."""
    names = ("openvino int8", "torch float32", "tensorrt int8", "torch float32 on a GPU")
    rows = [latency(name, 1.0) for name in (*names, names[3])]
    return [row.model_copy(update={"quantiles_ms": (1.0,) * 51}) for row in rows]


def test_every_row_of_the_chart_has_a_name_of_its_own() -> None:
    item = json.dumps(latency_chart(two_engines()).item)
    factors = json.loads(re.findall(r'"factors": (\[[^]]*\])', item)[0])
    assert len(set(factors)) == 5
    assert "torch float32 on a GPU, 1 thread, batch 1 (2)" in factors


def test_what_runs_the_network_tells_the_lines_of_one_precision_apart() -> None:
    chart = distribution_chart(two_engines(), 1)
    assert chart is not None
    looks = {name: (colour, dashes) for name, colour, dashes in chart.key}
    assert len(set(looks.values())) == len(looks) == 4
