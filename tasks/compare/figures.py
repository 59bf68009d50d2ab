"""The figures of two runs, each against its own baseline."""

from collections.abc import Mapping

from schemas.base import Target
from schemas.compare import Figure, Interval
from schemas.profiling import threads_of
from schemas.report import EngineReport, RunReport


def accuracy_figures(left: RunReport, right: RunReport) -> tuple[Figure, ...]:
    """Top-1 of every form of the network, and what it lost against the run's own FP32 network."""
    return _side_by_side(_accuracy(left), _accuracy(right))


def engine_figures(target: Target, left: RunReport, right: RunReport) -> tuple[Figure, ...]:
    """Speed over the run's own FP32 engine, milliseconds, size, kernels and build time."""
    return _side_by_side(_engine(target, left), _engine(target, right))


Found = dict[tuple[str, str], Interval]
"""Figures by name and unit."""


def _accuracy(report: RunReport) -> Found:
    found: Found = {}
    for place, a in enumerate(report.accuracies):
        found[f"{a.name}: top-1", ""] = Interval(value=a.top1)
        if place:
            lost = Interval(value=a.drop_points, low=a.drop_low, high=a.drop_high)
            found[f"{a.name}: lost against FP32", "points"] = lost
    return found


def _engine(target: Target, report: RunReport) -> Found:
    engine = next((e for e in report.engines if e.target == target), None)
    if engine is None:
        return {}
    found: Found = {}
    for part in report.latencies:
        for x in part.speedups:
            if x.engine == target:
                ratio = Interval(value=x.ratio, low=x.ratio_low, high=x.ratio_high)
                found[f"INT8 over FP32, {threads_of(x.threads)}", "times"] = ratio
        for y in part.latencies:
            if y.name.startswith(f"{target} "):
                found[f"{y.precision} median, {threads_of(y.threads)}", "ms"] = Interval(
                    value=y.median_ms
                )
    return found | _plan(engine)


def _plan(engine: EngineReport) -> Found:
    layers = engine.layers
    counts: Mapping[str, int] = {
        "kernels": layers.kernels,
        "convolutions on INT8": len(layers.integer_convolutions),
        "convolutions in float": len(layers.float_convolutions),
        "reformats": sum(layer.is_reformat for layer in layers.layers),
        "leftover Q/DQ": sum(layer.is_qdq for layer in layers.layers),
    }
    found: Found = {(name, ""): Interval(value=count) for name, count in counts.items()}
    found["INT8 plan", "MB"] = Interval(value=engine.manifest.plan_bytes / 1e6)
    found["FP32 plan", "MB"] = Interval(value=engine.baseline.plan_bytes / 1e6)
    found["INT8 plan built in", "s"] = Interval(value=engine.manifest.build_s)
    return found


def _side_by_side(left: Found, right: Found) -> tuple[Figure, ...]:
    return tuple(
        Figure.model_validate(
            {"name": name, "unit": unit, "left": left.get(key), "right": right.get(key)}
        )
        for key in dict.fromkeys([*left, *right])
        for name, unit in [key]
    )
