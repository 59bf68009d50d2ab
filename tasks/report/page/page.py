"""The page: what the run found out, with its charts, pictures and drawings inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from bokeh.resources import Resources
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from schemas.calibrate import CalibrationTable
from schemas.engine import Layer
from schemas.evaluate import Accuracy
from schemas.report import RunReport
from tasks.report.page.charts import (
    Chart,
    accuracy_chart,
    latency_chart,
    layers_chart,
    ranges_chart,
    threads_of,
    used_share,
)
from tasks.report.page.flips import Flip

HERE = Path(__file__).parent


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
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Bokeh defines a thing where it first appears: sorted keys would use it before that.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    latencies = [x for part in report.latencies for x in part.latencies]
    charts: dict[str, Chart | None] = {
        "accuracy": accuracy_chart(report.accuracies),
        "latency": latency_chart(latencies) if latencies else None,
        "ranges": ranges_chart(calibration),
    }
    charts |= {f"layers-{e.target}": layers_chart(e.target, e.layers) for e in report.engines}
    return environment.get_template("template.html.j2").render(
        report=report,
        calibration=calibration,
        drawings=drawings,
        flips=flips,
        headline=_headline(report),
        latencies=latencies,
        speedups=[x for part in report.latencies for x in part.speedups],
        charts=charts,
        items=[chart.item for chart in charts.values() if chart is not None],
        job_yaml=yaml.safe_dump(
            report.job.model_dump(mode="json", exclude_defaults=True), sort_keys=False
        ),
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        bokeh=Resources(mode="inline", components=["bokeh"]).js_raw,
        threads_of=threads_of,
        used_share=used_share,
        kind_of=_kind_of,
    )


def _headline(report: RunReport) -> list[Accuracy]:
    """The FP32 network's accuracy and the delivered engines'."""
    float32, *others = report.accuracies
    engines = {f"{engine.target} int8" for engine in report.engines}
    return [float32, *(a for a in others if a.name in engines)]


def _kind_of(layer: Layer) -> str:
    """A layer's class in the style sheet."""
    if layer.is_reformat or layer.is_qdq:
        return "warn"
    if layer.is_integer:
        return "int8"
    return "float" if layer.is_convolution or layer.is_matmul else ""
