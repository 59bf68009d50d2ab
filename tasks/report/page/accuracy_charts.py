"""Where accuracy goes: the error of layers, and accuracy against latency."""

from bokeh.models import BasicTicker, ColumnDataSource, HoverTool

from schemas.sensitivity import LayerErrors, SearchReport
from tasks.report.page.frame import FLOAT, INT8, OTHER, Chart, chart_of, for_bokeh, frame

FORMS = (
    ("int8_db", "INT8 torch", FLOAT, ""),
    ("graph_db", "graph", OTHER, "8 4"),
    ("engine_db", "engine", INT8, "2 4"),
)
"""Where a form is as far from FP32 as another, the dashes let both be seen."""


def layer_errors_chart(errors: LayerErrors) -> Chart:
    """Signal over noise of each layer's output against FP32, in dB; a step down is a loss."""
    plot = frame("layer, in the order of the network", "signal over noise, dB")
    plot.xaxis.ticker = BasicTicker(min_interval=1)
    key = []
    for field, label, colour, dashes in FORMS:
        points = [
            (index, getattr(layer, field), layer.name)
            for index, layer in enumerate(errors.layers)
            if getattr(layer, field) is not None
        ]
        if not points:
            continue
        x, y, names = zip(*points, strict=True)
        key.append((label, colour, dashes))
        source = ColumnDataSource({"x": x, "y": y, "name": names})
        style = {"color": colour, "line_width": 2, "line_dash": for_bokeh(dashes)}
        plot.line("x", "y", source=source, **style)
        plot.scatter("x", "y", source=source, color=colour, size=6)
    plot.add_tools(HoverTool(tooltips=[("", "@name"), ("dB", "@y{0.0}")]))
    return chart_of(f"errors-{errors.target}", f"Error of each layer, {errors.target}", plot, key)


def pareto_chart(search: SearchReport) -> Chart | None:
    """Points lost against milliseconds of every assignment tried; None where none was timed."""
    timed = [a for a in search.assignments if a.median_ms is not None]
    if not timed:
        return None
    plot = frame("median, ms", "points of top-1 lost")
    chosen = search.assignments[search.chosen]
    source = ColumnDataSource(
        {
            "x": [a.median_ms for a in timed],
            "y": [a.accuracy.drop_points for a in timed],
            "name": [f"{len(a.float_layers)} layers in float" for a in timed],
            "size": [14 if a is chosen else 8 for a in timed],
            "colour": [INT8 if a.on_front else OTHER for a in timed],
        }
    )
    plot.scatter("x", "y", source=source, size="size", color="colour")
    plot.add_tools(HoverTool(tooltips=[("", "@name"), ("ms", "@x{0.000}"), ("lost", "@y{0.00}")]))
    return chart_of("pareto", "Accuracy lost against latency, each assignment tried", plot)
