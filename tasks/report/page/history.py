"""The history of a job as a page: accuracy, speed and size, build after build."""

from collections.abc import Callable, Mapping, Sequence

from bokeh.models import BasicTicker, ColumnDataSource, HoverTool

from schemas.history import BuildRecord, EngineFigures
from tasks.report.page.fill import fill
from tasks.report.page.frame import FLOAT, INT8, OTHER, Chart, chart_of, frame

COLOURS = (INT8, FLOAT, OTHER)
FAILED = "#d43b30"


def history_page(
    job: str, builds: Sequence[BuildRecord], reasons: Mapping[int, Sequence[str]]
) -> str:
    """One self-contained HTML file; ``reasons`` say, by sequence, what changed before a build."""
    charts: dict[str, Chart | None] = {
        "top1": _line("top1", "top-1", builds, lambda e: e.top1),
        "speed": _line(
            "speed",
            "INT8 over FP32",
            builds,
            lambda e: e.speedups[0].ratio if e.speedups else None,
        ),
        "size": _line("size", "plan, MB", builds, lambda e: e.plan_bytes / 1e6),
        "kernels": _line("kernels", "kernels of the plan", builds, lambda e: e.kernels),
    }
    return fill("history.html.j2", charts, job=job, builds=builds, reasons=reasons)


def _line(
    name: str,
    label: str,
    builds: Sequence[BuildRecord],
    figure_of: Callable[[EngineFigures], float | None],
) -> Chart | None:
    """One line an engine over the builds; None where no build has the figure."""
    plot = frame("build", label, height=220)
    plot.xaxis.ticker = BasicTicker(min_interval=1)
    if name == "kernels":
        plot.yaxis.ticker = BasicTicker(min_interval=1)
    key = []
    for index, target in enumerate(sorted({e.engine for b in builds for e in b.engines})):
        points = [
            (build.sequence, value, "passed" if build.passed else "FAILED")
            for build in builds
            for engine in build.engines
            if engine.engine == target and (value := figure_of(engine)) is not None
        ]
        if not points:
            continue
        colour = COLOURS[index % len(COLOURS)]
        key.append((target, colour, ""))
        xs, ys, verdicts = zip(*points, strict=True)
        passed = [verdict == "passed" for verdict in verdicts]
        source = ColumnDataSource(
            {
                "x": xs,
                "y": ys,
                "verdict": verdicts,
                "marker": ["circle" if good else "x" for good in passed],
                "size": [8 if good else 14 for good in passed],
                "colour": [colour if good else FAILED for good in passed],
            }
        )
        plot.line("x", "y", source=source, color=colour, line_width=2)
        plot.scatter(
            "x", "y", source=source, color="colour", size="size", marker="marker", line_width=3
        )
    plot.add_tools(HoverTool(tooltips=[("build", "@x"), (label, "@y{0.0000}"), ("", "@verdict")]))
    return chart_of(name, f"{label}, build after build", plot, key) if key else None
