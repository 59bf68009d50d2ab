"""What the charts of every page are drawn in: colours, frames and whiskers.

Colours of text, lines and grid are set by the page's script, so that they follow light and dark.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, TeeHead, Whisker
from bokeh.plotting import figure

INT8, FLOAT, HALF, OTHER = "#2f7dd1", "#d9822b", "#2e9b62", "#8a8f98"


@dataclass(frozen=True)
class Chart:
    """A chart and, for who cannot see it, what it shows."""

    id: str
    label: str
    item: dict[str, Any]
    key: tuple[tuple[str, str, str], ...] = ()
    """What each line is: its name, colour and dashes (as SVG has them). Text, so that it wraps."""


def chart_of(
    name: str, label: str, plot: figure, key: Sequence[tuple[str, str, str]] = ()
) -> Chart:
    """A drawn figure as the page takes it; ``name`` is its own within the page."""
    plot.background_fill_alpha = plot.border_fill_alpha = 0
    plot.outline_line_alpha = 0
    item = json_item(plot, f"chart-{name}")
    return Chart(id=f"chart-{name}", label=label, item=item, key=tuple(dict.fromkeys(key)))


def frame(x_axis: str, y_axis: str, **options: Any) -> figure:
    """A frame as wide as the page, both axes named."""
    return figure(
        **{"height": 260, **options},
        sizing_mode="stretch_width",
        toolbar_location=None,
        x_axis_label=x_axis,
        y_axis_label=y_axis,
    )


def rows(names: Sequence[str], axis: str, **options: Any) -> figure:
    """A frame with one row a name, the first on top."""
    plot = figure(
        y_range=[*reversed(names)],
        height=70 + 30 * len(names),
        sizing_mode="stretch_width",
        toolbar_location=None,
        x_axis_label=axis,
        **options,
    )
    plot.ygrid.visible = False
    return plot


def for_bokeh(dashes: str) -> str | list[int]:
    """Dashes of a key, which are SVG's, as Bokeh takes them."""
    return [int(part) for part in dashes.split()] or "solid"


def clear_legend(plot: figure) -> None:
    """Let the page show through behind the legend, which may be empty."""
    for legend in plot.legend:
        legend.background_fill_alpha = legend.border_line_alpha = 0


def whisker(lower: str, upper: str, source: ColumnDataSource, base: str = "name") -> Whisker:
    """A line from one column to another, across rows."""
    return Whisker(
        base=base,
        lower=lower,
        upper=upper,
        source=source,
        dimension="width",
        line_color=OTHER,
        lower_head=TeeHead(line_color=OTHER, size=8),
        upper_head=TeeHead(line_color=OTHER, size=8),
    )
