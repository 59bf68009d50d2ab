"""The charts of a report, as documents that BokehJS draws."""

from collections.abc import Mapping, Sequence

from bokeh.models import ColumnDataSource, HoverTool, Range1d, Span

from schemas.calibrate import CalibrationQuality, CalibrationTable
from schemas.engine import Layer, LayerTable
from schemas.evaluate import Accuracy
from tasks.report.page.frame import FLOAT, INT8, OTHER, Chart, chart_of, frame, rows, whisker

MOST_LAYERS = 15
LONGEST_NAME = 26


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


def ranges_chart(table: CalibrationTable, saturated: Mapping[str, float]) -> Chart:
    """How much of its grid each activation used; above 1 values are cut off.

    ``saturated`` are shares of values beyond the grid, by activation, where they were counted.
    """
    names = list(table.tensors)
    source = ColumnDataSource(
        {
            "name": names,
            "used": [used_share(table, n) for n in names],
            "cut": [100 * saturated.get(n, 0.0) for n in names],
        }
    )
    plot = frame(
        "activation, in the order of the network",
        "largest seen / largest held",
        x_range=[*names],
    )
    plot.xaxis.major_label_text_alpha = plot.xaxis.major_tick_out = plot.xaxis.major_tick_in = 0
    plot.xgrid.visible = False
    plot.vbar(x="name", top="used", width=0.8, color=INT8, source=source)
    plot.add_layout(Span(location=1, dimension="width", line_dash="dashed", line_color=OTHER))
    tooltips = [("", "@name"), ("used", "@used{0.00}"), ("values cut off", "@cut{0.0000} %")]
    plot.add_tools(HoverTool(tooltips=tooltips))
    return chart_of("ranges", "Share of its grid that each activation used", plot)


def saturation_chart(quality: CalibrationQuality) -> Chart | None:
    """The share of each activation's values that its grid cuts off; None where none is."""
    if not any(x.saturated for x in quality.tensors):
        return None
    names = [x.name for x in quality.tensors]
    source = ColumnDataSource({"name": names, "cut": [100 * x.saturated for x in quality.tensors]})
    plot = frame("activation, in the order of the network", "values cut off, %", x_range=[*names])
    plot.xaxis.major_label_text_alpha = plot.xaxis.major_tick_out = plot.xaxis.major_tick_in = 0
    plot.xgrid.visible = False
    plot.y_range.start = 0
    plot.vbar(x="name", top="cut", width=0.8, color=FLOAT, source=source)
    plot.add_tools(HoverTool(tooltips=[("", "@name"), ("cut off", "@cut{0.0000} %")]))
    return chart_of("saturation", "Share of each activation's values beyond its grid", plot)


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
    names = [f"{i + 1}. {_short(layer)}" for i, layer in enumerate(shown)]
    source = ColumnDataSource(
        {
            "name": names,
            "share": [100 * (layer.time_ms or 0.0) / whole for layer in shown],
            "nodes": [", ".join(layer.onnx_nodes) or layer.name for layer in shown],
            "type": [layer.type for layer in shown],
            "color": [_colour(layer) for layer in shown],
        }
    )
    plot = rows(names, "share of the time, %")
    plot.x_range.start = 0
    plot.hbar(y="name", right="share", height=0.7, color="color", source=source)
    plot.add_tools(HoverTool(tooltips=[("", "@type"), ("nodes", "@nodes"), ("%", "@share{0.0}")]))
    return chart_of(f"layers-{target}", f"The slowest layers of {target}", plot)


def _short(layer: Layer) -> str:
    """The first node that a layer computes, by the end of its name, else its type."""
    name = layer.onnx_nodes[0].strip("/") if layer.onnx_nodes else layer.type
    return name if len(name) <= LONGEST_NAME else f"...{name[3 - LONGEST_NAME :]}"


def _colour(layer: Layer) -> str:
    """Integers, a convolution or matrix product in float, or neither."""
    if layer.is_integer:
        return INT8
    return FLOAT if layer.is_convolution or layer.is_matmul else OTHER
