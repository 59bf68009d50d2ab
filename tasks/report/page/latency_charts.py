"""How long calls take: distributions, their landmarks, and over batch and image size."""

from collections.abc import Sequence

from bokeh.models import ColumnDataSource, CustomJSTickFormatter, HoverTool, Range1d
from bokeh.plotting import figure

from schemas.profiling import QUANTILES, Latency
from tasks.report.page.frame import (
    FLOAT,
    HALF,
    INT8,
    OTHER,
    Chart,
    chart_of,
    clear_legend,
    frame,
    rows,
    whisker,
)

MARKED = (50, 90, 98)
"""Percentages with a dot on a distribution's line."""


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
            "color": [_colour(x) for x in latencies],
        }
    )
    ends = min(x.min_ms for x in latencies) / 1.2, max(x.p99_ms for x in latencies) * 1.2
    plot = rows(
        names, "milliseconds a call, logarithmic", x_axis_type="log", x_range=Range1d(*ends)
    )
    _round_ticks(plot)
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


def distribution_chart(latencies: Sequence[Latency], threads: int) -> Chart | None:
    """The share of calls that took no longer than so many milliseconds, a line a contender.

    None where a report of an earlier version kept no distribution.
    """
    shown = [x for x in latencies if x.threads == threads and x.quantiles_ms]
    if not shown:
        return None
    # Names only where they are needed: a legend inside a chart hides what is behind it.
    plot = frame(
        f"milliseconds a call on {threads_of(threads)}, logarithmic",
        "share of calls, %",
        height=320,
        x_axis_type="log",
    )
    _round_ticks(plot)
    for latency in shown:
        is_engine = latency.name.endswith(f" {latency.precision}")
        source = ColumnDataSource(
            {
                "x": latency.quantiles_ms,
                "y": QUANTILES,
                "name": [latency.name] * len(QUANTILES),
            }
        )
        style = {"color": _colour(latency), "legend_label": latency.name}
        dash = "solid" if is_engine else _DASHES[sum(map(ord, latency.name)) % len(_DASHES)]
        plot.line("x", "y", source=source, line_width=2.5, line_dash=dash, **style)
        marks = [QUANTILES.index(percent) for percent in MARKED]
        plot.scatter(
            [latency.quantiles_ms[i] for i in marks],
            [QUANTILES[i] for i in marks],
            size=6,
            color=_colour(latency),
        )
    plot.add_tools(HoverTool(tooltips=[("", "@name"), ("calls", "@y %"), ("ms", "@x{0.000}")]))
    _legend_below(plot)
    label = f"Distribution of latencies on {threads_of(threads)}"
    return chart_of(f"distribution-{threads}", label, plot)


def sweep_chart(number: int, sweep: Sequence[Latency]) -> Chart | None:
    """Images a second over the batch, a line for each precision and image size.

    ``number`` tells the charts of a page apart.
    """
    if len({x.batch_size for x in sweep}) < 2:
        return None
    plot = frame("images a call", "images a second", x_axis_type="log", y_axis_type="log")
    plot.xaxis.ticker = sorted({x.batch_size for x in sweep})
    plot.yaxis.formatter = CustomJSTickFormatter(code="return tick.toLocaleString('en')")
    sizes = sorted({x.image_size_px[0] for x in sweep if x.image_size_px})
    for name in dict.fromkeys(x.name for x in sweep):
        for place, size in enumerate(sizes):
            line = [x for x in sweep if x.name == name and x.image_size_px == (size, size)]
            if not line:
                continue
            label = f"{name}, {size} px"
            source = ColumnDataSource(
                {
                    "x": [x.batch_size for x in line],
                    "y": [x.images_per_second for x in line],
                    "ms": [x.median_ms for x in line],
                    "name": [label] * len(line),
                }
            )
            colour, dash = _colour(line[0]), _DASHES_OF_SIZES[place % len(_DASHES_OF_SIZES)]
            plot.line("x", "y", source=source, color=colour, line_dash=dash, legend_label=label)
            plot.scatter("x", "y", source=source, color=colour, size=7)
    plot.add_tools(
        HoverTool(
            tooltips=[("", "@name"), ("batch", "@x"), ("images/s", "@y{0,0}"), ("ms", "@ms{0.000}")]
        )
    )
    _legend_below(plot)
    return chart_of(f"sweep-{number}", "Images a second over the batch", plot)


def threads_of(threads: int) -> str:
    """A thread count in words; 0 stands for all."""
    return {0: "all threads", 1: "1 thread"}.get(threads, f"{threads} threads")


_DASHES = ("dashed", "dotted", "dotdash", "dashdot")
_DASHES_OF_SIZES = ("solid", *_DASHES)


def _colour(latency: Latency) -> str:
    """By precision."""
    if latency.precision.startswith("int8"):
        return INT8
    return {"float32": FLOAT, "float16": HALF}.get(latency.precision, OTHER)


def _round_ticks(plot: figure) -> None:
    """1, 2 and 5 of each decade, written out."""
    plot.xaxis.ticker = [m * 10.0**d for d in range(-4, 6) for m in (1, 2, 5)]
    plot.xaxis.formatter = CustomJSTickFormatter(code="return String(Number(tick.toPrecision(1)))")


def _legend_below(plot: figure) -> None:
    clear_legend(plot)
    for legend in list(plot.legend):
        legend.orientation = "horizontal"
        legend.ncols = "auto"
        plot.add_layout(legend, "below")
