"""A comparison in words: cells that the terminal, Markdown and the page share."""

from collections.abc import Iterator

from schemas.compare import Comparison, EngineComparison, Figure, Interval, LayerRow, RunSide
from tasks.compare.compare import kernels

FORMATS = {
    "points": "{:+.2f}",
    "times": "{:.2f}x",
    "ms": "{:.3f} ms",
    "MB": "{:.2f} MB",
    "s": "{:.2f} s",
}


def value_of(figure: Figure, side: Interval | None) -> str:
    """A figure with its interval; empty where the run does not have it."""
    if side is None:
        return ""
    if not figure.unit:
        return f"{side.value:.4f}" if figure.name.endswith("top-1") else f"{side.value:g}"
    form = FORMATS[figure.unit]
    text = form.format(side.value)
    if side.low is None or side.high is None:
        return text
    return f"{text} ({form.format(side.low)} to {form.format(side.high)})"


def difference_of(figure: Figure) -> str:
    """What lies between the two, as far as two runs can be compared.

    Neither milliseconds nor seconds: those are two measurements. Of what each run measured against
    its own baseline, whether the intervals are apart.
    """
    if figure.left is None or figure.right is None:
        return "in one run only"
    if figure.apart is not None:
        return "apart" if figure.apart else "intervals overlap"
    left, right = figure.left.value, figure.right.value
    if left == right or figure.unit in ("ms", "s"):
        return ""
    if figure.unit == "MB":
        return f"{right / left - 1:+.1%}"
    if figure.name.endswith("top-1"):
        return f"{100 * (right - left):+.2f} points"
    return f"{right - left:+g}"


def verdict_of(side: RunSide) -> str:
    """Which run, and how it ended."""
    ended = "passed" if side.passed else f"FAILED: {', '.join(side.failed)}"
    said = [x for x in dict.fromkeys([side.name, side.job]) if x != side.label]
    more = f" ({', '.join(said)})" if said else ""
    return f"{side.label}{more}: {ended}"


def layer_cells(row: LayerRow) -> tuple[str, ...]:
    """ONNX nodes, the kernels of both plans, and their shares of their own run's time."""
    pair = row.pair
    nodes = ", ".join(pair.nodes) or ", ".join(x.name for x in (*pair.left, *pair.right))
    shares = ["" if x is None else f"{x:.1%}" for x in (row.left_share, row.right_share)]
    return nodes, "; ".join(kernels(pair.left)), "; ".join(kernels(pair.right)), *shares


def layers_line(engine: EngineComparison) -> str:
    """How many kernels differ."""
    if not engine.layers:
        return "built in one run only"
    other = sum(not row.same for row in engine.layers)
    note = f", {engine.layers_note}" if engine.layers_note else ""
    return f"{other} of {len(engine.layers)} kernels or groups of kernels differ{note}"


def is_timed(engine: EngineComparison) -> bool:
    """Whether any layer's share of the time is known."""
    return any(row.left_share or row.right_share for row in engine.layers)


def graph_lines(engine: EngineComparison) -> Iterator[str]:
    """What changed between the repaired graphs."""
    if engine.graph is None:
        yield engine.graph_note or "built in one run only"
    elif engine.graph.same:
        yield "the repaired graphs have the same nodes, grids and edges"
    else:
        yield f"{engine.graph.nodes_before} nodes became {engine.graph.nodes_after}"
        yield from (difference.text for difference in engine.graph.differences)


def sections(comparison: Comparison) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """The tables of differing values: a title, and rows of name, left and right."""
    for title, changes in (
        ("job", comparison.config),
        ("environment", comparison.environment),
        ("gates", comparison.gates),
        ("modules", comparison.modules),
    ):
        if changes:
            yield title, [(x.name, x.left or "", x.right or "") for x in changes]
