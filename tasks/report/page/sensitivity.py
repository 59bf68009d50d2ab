"""How much each layer's rounding alone disturbs the answers, and which were left in float."""

from bokeh.models import ColumnDataSource, HoverTool

from schemas.sensitivity import SearchReport
from tasks.report.page.frame import FLOAT, INT8, Chart, chart_of, clear_legend, rows

MOST_LAYERS = 40
"""As many rows fit a page; the others are less sensitive."""


def sensitivity_chart(search: SearchReport) -> Chart:
    """Signal over noise of the logits with one layer in INT8, in dB, the most sensitive on top."""
    layers = search.sensitivity.layers[:MOST_LAYERS]
    in_float = set(search.assignments[search.chosen].float_layers)
    source = ColumnDataSource(
        {
            "name": [x.name for x in layers],
            "kind": [x.kind for x in layers],
            "db": [x.logits_db for x in layers],
            "left": ["float" if x.name in in_float else "INT8" for x in layers],
            "colour": [FLOAT if x.name in in_float else INT8 for x in layers],
        }
    )
    plot = rows(
        [x.name for x in layers], "signal over noise of the logits, dB: a short bar is sensitive"
    )
    plot.hbar(y="name", right="db", height=0.6, color="colour", legend_group="left", source=source)
    plot.add_tools(HoverTool(tooltips=[("", "@name (@kind)"), ("dB", "@db{0.0}"), ("", "@left")]))
    plot.legend.location = "bottom_right"
    clear_legend(plot)
    return chart_of("sensitivity", "Each layer's sensitivity to INT8, alone", plot)
