"""Two runs side by side as a page."""

from collections.abc import Mapping, Sequence

from bokeh.models import ColumnDataSource, HoverTool, Range1d, Span

from schemas.base import Target
from schemas.compare import Comparison, Figure, Interval
from tasks.compare.words import (
    difference_of,
    graph_lines,
    layer_cells,
    layers_line,
    sections,
    value_of,
    verdict_of,
)
from tasks.report.page.fill import fill
from tasks.report.page.frame import FLOAT, INT8, OTHER, Chart, chart_of, rows, whisker


def comparison_page(
    found: Comparison, drawings: Mapping[Target, tuple[str | None, str | None]]
) -> str:
    """One self-contained HTML file; ``drawings`` are both runs' graphs of each engine, in SVG."""
    names = (found.left.label, found.right.label)
    charts: dict[str, Chart | None] = {
        "lost": _intervals(
            "lost", "points of top-1 lost against FP32", found.accuracy, "points", names, even=0
        )
    }
    for engine in found.engines:
        charts[f"speed-{engine.target}"] = _intervals(
            f"speed-{engine.target}",
            "INT8 over FP32, times",
            engine.figures,
            "times",
            names,
            even=1,
        )
    return fill(
        "compare.html.j2",
        charts,
        found=found,
        drawings=drawings,
        value_of=value_of,
        difference_of=difference_of,
        verdict_of=verdict_of,
        sections=sections,
        graph_lines=graph_lines,
        layer_cells=layer_cells,
        layers_line=layers_line,
    )


def _intervals(
    name: str,
    axis: str,
    figures: Sequence[Figure],
    unit: str,
    names: tuple[str, str],
    *,
    even: float,
) -> Chart | None:
    """Two points with intervals a figure of this unit; None where neither run has one."""
    shown = [x for x in figures if x.unit == unit]
    if not shown:
        return None
    ends = [even, *(end for x in shown for side in (x.left, x.right) for end in _ends(side))]
    margin = 0.05 * (max(ends) - min(ends)) or 0.1
    plot = rows(
        [_row(x) for x in shown], axis, x_range=Range1d(min(ends) - margin, max(ends) + margin)
    )
    # Twice the room of a chart with one point a row.
    plot.height = 70 + 44 * len(shown)
    plot.add_layout(Span(location=even, dimension="height", line_dash="dashed", line_color=OTHER))
    for offset, colour, side in ((0.17, INT8, 0), (-0.17, FLOAT, 1)):
        points = [(_row(x), found) for x in shown if (found := (x.left, x.right)[side])]
        source = ColumnDataSource(
            {
                "name": [(label, offset) for label, _ in points],
                "figure": [label for label, _ in points],
                "value": [x.value for _, x in points],
                "low": [min(_ends(x)) for _, x in points],
                "high": [max(_ends(x)) for _, x in points],
                "run": [names[side]] * len(points),
            }
        )
        plot.add_layout(whisker("low", "high", source))
        plot.scatter("value", "name", source=source, size=10, color=colour)
    plot.add_tools(
        HoverTool(
            tooltips=[
                ("", "@run"),
                ("", "@figure"),
                ("", "@value{0.00} (@low{0.00} to @high{0.00})"),
            ]
        )
    )
    key = [(names[0], INT8, ""), (names[1], FLOAT, "")]
    return chart_of(name, f"{axis}, both runs", plot, key)


def _row(figure: Figure) -> str:
    """What a row is of; the axis says the rest."""
    return figure.name.removesuffix(": lost against FP32").removeprefix("INT8 over FP32, ")


def _ends(side: Interval | None) -> tuple[float, ...]:
    """A figure and the ends of its interval, as far as there are any."""
    if side is None:
        return ()
    return tuple(x for x in (side.value, side.low, side.high) if x is not None)
