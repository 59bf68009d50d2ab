"""The charts of a report, as documents that BokehJS draws."""

from collections.abc import Sequence

from bokeh.models import ColumnDataSource, CustomJSTickFormatter, HoverTool, Range1d, Span

from schemas.calibrate import CalibrationTable
from schemas.engine import LayerTable
from schemas.evaluate import Accuracy
from schemas.profiling import Latency
from tasks.report.page.frame import FLOAT, INT8, OTHER, Chart, chart_of, frame, rows, whisker

MOST_LAYERS = 25


def accuracy_chart(accuracies: Sequence[Accuracy]) -> Chart:
    """Points of top-1 lost against FP32 with their interval, one row a form of the network."""
    names = [a.name for a in accuracies[1:]]
    source = ColumnDataSource(
        {
            "name": names,
            "lost": [a.drop_points for a in accuracies[1:]],
            "low": [a.drop_low for a in accuracies[1:]],
            "high": [a.drop_high for a in accuracies[1:]],
            "flips": [a.flips for a in accuracies[1:]],
        }
    )
    ends = [0.0, *(a.drop_low for a in accuracies), *(a.drop_high for a in accuracies)]
    margin = 0.05 * (max(ends) - min(ends)) or 0.1
    plot = rows(
        names,
        "points of top-1 lost against FP32",
        x_range=Range1d(min(ends) - margin, max(ends) + margin),
    )
    plot.add_layout(Span(location=0, dimension="height", line_dash="dashed", line_color=OTHER))
    plot.add_layout(whisker("low", "high", source))
    plot.scatter("lost", "name", source=source, size=11, color=INT8)
    plot.add_tools(
        HoverTool(
            tooltips=[
                ("", "@name"),
                ("lost", "@lost{0.00} (@low{0.00} to @high{0.00})"),
                ("flips", "@flips"),
            ]
        )
    )
    return chart_of("accuracy", "Points of top-1 lost against FP32", plot)


def latency_chart(latencies: Sequence[Latency]) -> Chart:
    """Milliseconds of a call: a bar from the median to p90, a line from the least to p99."""
    names = [f"{x.name}, {threads_of(x.threads)}, batch {x.batch_size}" for x in latencies]
    source = ColumnDataSource(
        {
            "name": names,
            "min": [x.min_ms for x in latencies],
            "median": [x.median_ms for x in latencies],
            "p90": [x.p90_ms for x in latencies],
            "p99": [x.p99_ms for x in latencies],
            "color": [INT8 if x.precision.startswith("int8") else FLOAT for x in latencies],
        }
    )
    ends = min(x.min_ms for x in latencies) / 1.2, max(x.p99_ms for x in latencies) * 1.2
    plot = rows(
        names, "milliseconds a call, logarithmic", x_axis_type="log", x_range=Range1d(*ends)
    )
    decades = range(-4, 6)
    plot.xaxis.ticker = [m * 10.0**d for d in decades for m in (1, 2, 5)]
    plot.xaxis.formatter = CustomJSTickFormatter(code="return String(Number(tick.toPrecision(1)))")
    plot.add_layout(whisker("min", "p99", source))
    plot.hbar(y="name", left="median", right="p90", height=0.5, color="color", source=source)
    plot.scatter("median", "name", source=source, size=9, color="color", marker="diamond")
    plot.add_tools(
        HoverTool(
            tooltips=[("", "@name")]
            + [(key, f"@{key}{{0.000}} ms") for key in ("min", "median", "p90", "p99")]
        )
    )
    return chart_of("latency", "Latency of each engine: least, median, p90 and p99", plot)


def ranges_chart(table: CalibrationTable) -> Chart:
    """How much of its grid each activation used; above 1 values are cut off."""
    names = list(table.tensors)
    source = ColumnDataSource({"name": names, "used": [used_share(table, n) for n in names]})
    plot = frame(
        "activation, in the order of the network",
        "largest value seen / largest on the grid",
        x_range=[*names],
    )
    plot.xaxis.major_label_text_alpha = 0
    plot.xgrid.visible = False
    plot.vbar(x="name", top="used", width=0.8, color=INT8, source=source)
    plot.add_layout(Span(location=1, dimension="width", line_dash="dashed", line_color=OTHER))
    plot.add_tools(HoverTool(tooltips=[("", "@name"), ("used", "@used{0.00}")]))
    return chart_of("ranges", "Share of its grid that each activation used", plot)


def used_share(table: CalibrationTable, name: str) -> float:
    """The largest magnitude seen of an activation over the largest that its grid holds."""
    seen = table.tensors[name]
    return max(abs(seen.minimum), abs(seen.maximum)) / (127 * seen.scale)


def layers_chart(target: str, table: LayerTable) -> Chart | None:
    """The slowest layers and their share of the time; None where no time was measured."""
    whole = table.time_ms
    if not whole:
        return None
    slowest = sorted((x for x in table.layers if x.time_ms), key=lambda x: -(x.time_ms or 0.0))
    shown = slowest[:MOST_LAYERS]
    names = [f"{i + 1}. {layer.type}" for i, layer in enumerate(shown)]
    source = ColumnDataSource(
        {
            "name": names,
            "share": [100 * (layer.time_ms or 0.0) / whole for layer in shown],
            "nodes": [", ".join(layer.onnx_nodes) or layer.name for layer in shown],
            "color": [INT8 if layer.is_integer else FLOAT for layer in shown],
        }
    )
    plot = rows(names, "share of the time, %")
    plot.hbar(y="name", right="share", height=0.7, color="color", source=source)
    plot.add_tools(HoverTool(tooltips=[("", "@name"), ("nodes", "@nodes"), ("%", "@share{0.0}")]))
    return chart_of(f"layers-{target}", f"The slowest layers of {target}", plot)


def threads_of(threads: int) -> str:
    """A thread count in words; 0 stands for all."""
    return {0: "all threads", 1: "1 thread"}.get(threads, f"{threads} threads")
