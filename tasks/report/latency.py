"""The report's section on latency."""

from schemas.profiling import Latency, LatencyReport, threads_of
from schemas.report import RunReport
from tasks.report.tables import table


def render_latency(report: RunReport) -> str:
    """Times of everything that was timed, ratios with their intervals, the sweep, and notes."""
    if not report.latencies:
        return "## Latency\n\nNot measured: no engine of this job runs on this machine."
    latencies = [x for part in report.latencies for x in part.latencies]
    rows = [
        (
            x.name,
            x.threads or "all",
            *(f"{ms:.3f}" for ms in (x.min_ms, x.median_ms, x.p90_ms, x.p99_ms)),
            f"{x.coefficient_of_variation:.1%}",
            f"{x.images_per_second:,.0f}",
            "" if x.streamed_images_per_second is None else f"{x.streamed_images_per_second:,.0f}",
        )
        for x in latencies
    ]
    times = ("min ms", "median ms", "p90 ms", "p99 ms", "CV")
    header = ("engine", "threads", *times, "images/s", "images/s, streams")
    lines = [line for part in report.latencies for line in _ratios(part)]
    parts = [
        f"## Latency, batch {latencies[0].batch_size}",
        f"{report.latencies[0].machine}; alternating blocks in one process.",
        table(header, rows),
        _phases(latencies),
        "\n".join(lines),
        *(_sweep(part) for part in report.latencies if part.sweep),
        "\n".join(f"- note: {note}" for part in report.latencies for note in part.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def _ratios(part: LatencyReport) -> list[str]:
    lines = [
        f"- {x.engine}, {threads_of(x.threads)}: INT8 **{x.ratio:.2f} times** as fast as FP32 "
        f"(95 % interval {x.ratio_low:.2f} to {x.ratio_high:.2f})"
        for x in part.speedups
    ]
    own = {f"{x.engine} float32" for x in part.speedups}
    # The engine's own FP32 plan is the line above.
    return lines + [
        f"- {x.of}, {threads_of(x.threads)}: {x.ratio:.2f} times as fast as {x.over} "
        f"({x.ratio_low:.2f} to {x.ratio_high:.2f})"
        for x in part.ratios
        if x.over not in own
    ]


def _phases(latencies: list[Latency]) -> str:
    """What a call is made of, as far as its engine tells."""
    rows = [
        (x.name, part.phase, *(f"{ms:.4f}" for ms in (part.median_ms, part.p90_ms, part.p99_ms)))
        for x in latencies
        for part in x.phases
    ]
    return table(("engine", "part", "median ms", "p90 ms", "p99 ms"), rows) if rows else ""


def _sweep(part: LatencyReport) -> str:
    """INT8 over FP32 at every size; the two of a size follow each other."""
    pairs = zip(part.sweep[::2], part.sweep[1::2], part.sweep_ratios, strict=True)
    rows = [
        (
            f"{int8.batch_size} x {'x'.join(map(str, int8.image_size_px or ()))}",
            f"{int8.median_ms:.3f}",
            f"{float32.median_ms:.3f}",
            f"{x.ratio:.2f} ({x.ratio_low:.2f} to {x.ratio_high:.2f})",
        )
        for int8, float32, x in pairs
    ]
    header = ("batch x image", "INT8 median ms", "FP32 median ms", "ratio")
    return "### Over batch and image size\n\n" + table(header, rows)
