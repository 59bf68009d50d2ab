"""The page: what the run found out, with its charts, pictures and drawings inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from schemas.calibrate import CalibrationTable
from schemas.engine import Layer
from schemas.evaluate import Accuracy
from schemas.profiling import threads_of
from schemas.report import RunReport
from tasks.report.findings import answers_line, verdict_of, work_lines
from tasks.report.page.accuracy_charts import layer_errors_chart, pareto_chart
from tasks.report.page.charts import (
    accuracy_chart,
    layers_chart,
    ranges_chart,
    saturation_chart,
    used_share,
)
from tasks.report.page.fill import fill
from tasks.report.page.flips import Flip
from tasks.report.page.frame import Chart
from tasks.report.page.latency_charts import (
    distribution_chart,
    latency_chart,
    sweep_chart,
)
from tasks.report.page.sensitivity import sensitivity_chart


@dataclass(frozen=True)
class Drawings:
    """One target's graph as it was exported and as it was compiled, in SVG."""

    before: str | None
    after: str | None


def render_page(
    report: RunReport,
    calibration: CalibrationTable,
    drawings: Mapping[str, Drawings],
    flips: Sequence[Flip],
) -> str:
    """One self-contained HTML file."""
    latencies = [x for part in report.latencies for x in part.latencies]
    quality = () if report.findings is None else report.findings.calibration.tensors
    saturated = {x.name: x.saturated for x in quality}
    charts: dict[str, Chart | None] = {
        "accuracy": accuracy_chart(report.accuracies),
        "latency": latency_chart(latencies) if latencies else None,
        "ranges": ranges_chart(calibration, saturated),
    }
    thread_counts = list(dict.fromkeys(x.threads for x in latencies))
    charts |= {f"distribution-{n}": distribution_chart(latencies, n) for n in thread_counts}
    charts |= {f"sweep-{i}": sweep_chart(i, x.sweep) for i, x in enumerate(report.latencies)}
    if report.findings is not None:
        charts["saturation"] = saturation_chart(report.findings.calibration)
        charts |= {f"errors-{x.target}": layer_errors_chart(x) for x in report.findings.layers}
        search = report.findings.search
        charts["pareto"] = None if search is None else pareto_chart(search)
        charts["sensitivity"] = None if search is None else sensitivity_chart(search)
    charts |= {f"layers-{e.target}": layers_chart(e.target, e.layers) for e in report.engines}
    return fill(
        "run.html.j2",
        charts,
        report=report,
        calibration=calibration,
        drawings=drawings,
        flips=flips,
        headline=_headline(report),
        latencies=latencies,
        speedups=[x for part in report.latencies for x in part.speedups],
        job_yaml=yaml.safe_dump(
            report.job.model_dump(mode="json", exclude_defaults=True), sort_keys=False
        ),
        thread_counts=thread_counts,
        saturated=saturated,
        threads_of=threads_of,
        used_share=used_share,
        answers_line=answers_line,
        work=[] if report.findings is None else work_lines(report.findings),
        verdict_of=verdict_of,
        kind_of=_kind_of,
    )


def _headline(report: RunReport) -> list[Accuracy]:
    """The FP32 network's accuracy and the delivered engines'."""
    float32, *others = report.accuracies
    engines = {f"{x.target} int8" for x in report.engines if x.delivered == "int8"}
    return [float32, *(a for a in others if a.name in engines)]


def _kind_of(layer: Layer) -> str:
    """A layer's class in the style sheet."""
    if layer.is_reformat or layer.is_qdq:
        return "warn"
    if layer.is_integer:
        return "int8"
    return "float" if layer.is_convolution or layer.is_matmul else ""
