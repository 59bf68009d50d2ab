"""How long calls take: distributions, their landmarks, and over batch and image size."""

import itertools
from collections.abc import Sequence

from bokeh.models import ColumnDataSource, CustomJSTickFormatter, HoverTool, Range1d
from bokeh.plotting import figure

from schemas.profiling import QUANTILES, Latency, threads_of
from tasks.report.page.frame import (
    FLOAT,
    HALF,
    INT8,
    OTHER,
    Chart,
    chart_of,
    for_bokeh,
    frame,
    rows,
    whisker,
)

DASHES = ("", "8 4", "2 4", "10 4 2 4", "4 8")
"""As SVG has them; none is a solid line."""

MARKED = (50, 90, 98)
"""Percentages with a dot on a distribution's line."""


def latency_chart(latencies: Sequence[Latency]) -> Chart:
    """Milliseconds of a call: a bar from the median to p90, a line from the least to p99."""
    names = [f"{x.name}, {threads_of(x.threads)}" for x in latencies]
    if len(set(names)) < len(names):
        names = [f"{name}, batch {x.batch_size}" for name, x in zip(names, latencies, strict=True)]
    names = _numbered(names)
    source = ColumnDataSource(
        {
            "name": names,
            "min": [x.min_ms for x in latencies],
            "median": [x.median_ms for x in latencies],
            "p90": [x.p90_ms for x in latencies],
            "p99": [x.p99_ms for x in latencies],
            "color": [_colour(x) for x in latencies],
        }
    )
    ends = min(x.min_ms for x in latencies) / 1.2, max(x.p99_ms for x in latencies) * 1.2
    plot = rows(names, "ms a call, logarithmic", x_axis_type="log", x_range=Range1d(*ends))
    _round_ticks(plot)
    plot.add_layout(whisker("min", "p99", source))
    plot.hbar(y="name", left="median", right="p90", height=0.5, color="color", source=source)
    plot.scatter(
        "median",
        "name",
        source=source,
        size=12,
        marker="diamond",
        fill_color="white",
        line_color="color",
        line_width=2,
    )
    plot.add_tools(
        HoverTool(
            tooltips=[("", "@name")]
            + [(key, f"@{key}{{0.000}} ms") for key in ("min", "median", "p90", "p99")]
        )
    )
    return chart_of("latency", "Latency of each engine: least, median, p90 and p99", plot)


def distribution_chart(latencies: Sequence[Latency], threads: int) -> Chart | None:
    """The share of calls that took no longer than so many milliseconds, a line a contender.

    The plans of the engine, which is the first contender, have solid lines. None where a report of
    an earlier version kept no distribution.
    """
    shown = [x for x in latencies if x.threads == threads and x.quantiles_ms]
    if not shown:
        return None
    axis = f"milliseconds a call on {threads_of(threads)}, logarithmic"
    plot = frame(axis, "share of calls, %", x_axis_type="log")
    _round_ticks(plot)
    # By what runs the network, the engine first.
    runtimes = list(dict.fromkeys(_without_precision(x) for x in shown))
    marks = [QUANTILES.index(percent) for percent in MARKED]
    key = []
    for latency in shown:
        colour = _colour(latency)
        dashes = DASHES[runtimes.index(_without_precision(latency)) % len(DASHES)]
        key.append((latency.name, colour, dashes))
        names = [latency.name] * len(QUANTILES)
        source = ColumnDataSource({"x": latency.quantiles_ms, "y": QUANTILES, "name": names})
        style = {"color": colour, "line_width": 2.5, "line_dash": for_bokeh(dashes)}
        plot.line("x", "y", source=source, **style)
        marked = [latency.quantiles_ms[i] for i in marks], [QUANTILES[i] for i in marks]
        plot.scatter(*marked, size=7, color=colour)
    plot.add_tools(HoverTool(tooltips=[("", "@name"), ("calls", "@y %"), ("ms", "@x{0.000}")]))
    label = f"Distribution of latencies on {threads_of(threads)}"
    return chart_of(f"distribution-{threads}", label, plot, key)


def sweep_chart(number: int, sweep: Sequence[Latency]) -> Chart | None:
    """Images a second over the batch, a line for each precision and image size.

    ``number`` tells the charts of a page apart.
    """
    if len({x.batch_size for x in sweep}) < 2:
        return None
    plot = frame("images a call", "images a second", x_axis_type="log", y_axis_type="log")
    plot.xaxis.ticker = sorted({x.batch_size for x in sweep})
    for axis in (plot.xaxis, plot.yaxis):
        axis.formatter = CustomJSTickFormatter(code="return tick.toLocaleString('en')")
    sizes = sorted({x.image_size_px[0] for x in sweep if x.image_size_px})
    key = []
    for name, (place, size) in itertools.product(
        dict.fromkeys(x.name for x in sweep), enumerate(sizes)
    ):
        line = [x for x in sweep if x.name == name and x.image_size_px == (size, size)]
        if not line:
            continue
        colour, dashes, label = _colour(line[0]), DASHES[place % len(DASHES)], f"{name}, {size} px"
        key.append((label, colour, dashes))
        source = ColumnDataSource(
            {
                "x": [x.batch_size for x in line],
                "y": [x.images_per_second for x in line],
                "ms": [x.median_ms for x in line],
                "name": [label] * len(line),
            }
        )
        style = {"color": colour, "line_width": 2.5, "line_dash": for_bokeh(dashes)}
        plot.line("x", "y", source=source, **style)
        plot.scatter("x", "y", source=source, color=colour, size=7)
    plot.add_tools(
        HoverTool(
            tooltips=[("", "@name"), ("batch", "@x"), ("images/s", "@y{0,0}"), ("ms", "@ms{0.000}")]
        )
    )
    return chart_of(f"sweep-{number}", "Images a second over the batch", plot, key)


def _numbered(names: Sequence[str]) -> list[str]:
    """The names, numbered where they come again: two rows of one name are no chart for Bokeh."""
    before = [names[:place].count(name) for place, name in enumerate(names)]
    return [f"{name} ({n + 1})" if n else name for name, n in zip(names, before, strict=True)]


def _without_precision(latency: Latency) -> str:
    return " ".join(word for word in latency.name.split() if word != latency.precision)


def _colour(latency: Latency) -> str:
    """By precision."""
    if latency.precision.startswith("int8"):
        return INT8
    return {"float32": FLOAT, "float16": HALF}.get(latency.precision, OTHER)


def _round_ticks(plot: figure) -> None:
    """1, 2 and 5 of each decade, written out."""
    plot.xaxis.ticker = [m * 10.0**d for d in range(-4, 6) for m in (1, 2, 5)]
    plot.xaxis.formatter = CustomJSTickFormatter(code="return String(Number(tick.toPrecision(1)))")
