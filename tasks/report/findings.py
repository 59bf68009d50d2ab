"""The part of the Markdown report that says where accuracy went and what was done about it."""

from schemas.calibrate import AccuracyCheck
from schemas.findings import Findings
from schemas.sensitivity import LayerErrors, SearchReport
from tasks.report.tables import bullets, plain, table

WORST_TENSORS = 8


def render_findings(findings: Findings | None) -> list[str]:
    """Sections on calibration, mixed precision, training on, and layer by layer."""
    if findings is None:
        return []
    parts = [_calibration(findings)]
    if work := work_lines(findings):
        parts.append(f"## Accuracy work\n\n{bullets(work)}")
    if findings.search is not None:
        parts.append(_search(findings.search))
    parts += [_layers(errors) for errors in findings.layers]
    return parts


def _calibration(findings: Findings) -> str:
    quality = findings.calibration
    missing = sum(not count for count in quality.images_by_class.values())
    classes = len(quality.images_by_class)
    lines = [f"{quality.images} images of {classes - missing} of {classes} classes"]
    if (speed := findings.calibration_speed) is not None:
        lines[0] += f", {speed.images_per_second:,.1f} images/s on {speed.device}"
    lines.append(f"{quality.left_out} images passed over because accuracy is measured on them")
    if quality.accuracy is not None:
        lines.append(answers_line(quality.accuracy))
    lines += [
        f"at {check.images} images: {check.settled:.0%} of the scales had settled, the median "
        f"moved {check.median_change:.1%}, {check.tensor} most, {check.largest_change:.0%}"
        for check in quality.checks
    ]
    lines += [f"**warning**: {warning}" for warning in quality.warnings]
    worst = sorted(quality.tensors, key=lambda t: (-t.saturated, -t.unused))[:WORST_TENSORS]
    rows = [
        (t.name, f"{t.scale:.4g}", f"{t.saturated:.3%}", f"{t.unused:.0%}", "yes" * t.constant)
        for t in worst
    ]
    header = ("activation", "scale", "beyond the grid", "grid unused", "constant")
    return (
        f"## Calibration\n\n{bullets(lines)}\n\nThe {len(rows)} activations that fit worst "
        f"of {len(quality.tensors)}, on {quality.checked_images} images:\n\n" + table(header, rows)
    )


def answers_line(check: AccuracyCheck) -> str:
    """Whether more images still change answers."""
    return (
        f"Of {check.answered} calibration images {check.top1:.2%} are answered right, "
        f"{check.top1_before:.2%} on the scales of the first {check.fewer_images} images: "
        f"{check.to_wrong} answers turned wrong and {check.to_right} right"
    )


def work_lines(findings: Findings) -> list[str]:
    """What each kind of accuracy work that the job asks for came to."""
    lines = []
    if findings.equalization is not None:
        pairs = findings.equalization.pairs
        lines.append(
            f"equalization: {len(pairs)} pairs of layers, channels scaled by "
            f"{min(p.factor_low for p in pairs):.2g} to {max(p.factor_high for p in pairs):.2g}"
        )
    if findings.correction is not None:
        corrected = findings.correction.layers
        most = max(corrected, key=lambda x: x.mean_shift, default=None)
        where = "" if most is None else f", most in {most.name}: {most.mean_shift:.2g} on average"
        lines.append(f"bias correction: {len(corrected)} layers{where}")
    if findings.finetuning is not None:
        tuned = findings.finetuning
        best = f"epoch {tuned.best_epoch}" if tuned.best_epoch else "the start"
        ended = f"; stopped: {tuned.stopped}" if tuned.stopped else ""
        lines.append(
            f"quantization-aware training: loss {tuned.loss_before:.2g} before, "
            f"{tuned.loss:.2g} at {best} of {len(tuned.epochs)} epochs, "
            f"top-1 {tuned.top1_before:.4f} and {tuned.top1:.4f}, on images held out, rounding "
            f"simulated{ended}"
        )
    return lines


def verdict_of(search: SearchReport) -> str:
    """Which layers were left in float, and whether that is enough."""
    names = ", ".join(search.assignments[search.chosen].float_layers)
    if search.reached:
        count = len(search.assignments[search.chosen].float_layers)
        return f"{count} layers in float: {names or 'none'}."
    return (
        f"No assignment loses at most {search.max_drop_points:g} points; the best found is taken, "
        f"and its gate fails: {names or 'no layer in float'}."
    )


def _search(search: SearchReport) -> str:
    rows = [
        (
            f"{len(a.float_layers)}" + (" (taken)" if index == search.chosen else ""),
            f"{a.accuracy.top1:.4f}",
            f"{a.accuracy.drop_points:+.2f}",
            f"{a.accuracy.drop_low:+.2f} to {a.accuracy.drop_high:+.2f}",
            "" if a.median_ms is None else f"{a.median_ms:.3f}",
            "yes" if a.on_front else "",
        )
        for index, a in enumerate(search.assignments)
    ]
    header = ("layers in float", "top-1", "points lost", "95 % interval", "median ms", "Pareto")
    layers = search.sensitivity.layers
    bars = [
        (x.name, x.kind, f"{x.logits_db:.1f}", "#" * max(1, round((60 - x.logits_db) / 2)))
        for x in layers[:12]
    ]
    plot = table(("layer", "kind", "logits dB alone in INT8", "sensitivity"), bars)
    return (
        f"## Mixed precision for {search.target}\n\n{plain(verdict_of(search))}\n\n"
        f"{table(header, rows)}\n\nThe most sensitive of {len(layers)} layers, on "
        f"{search.sensitivity.images} calibration images:\n\n{plot}"
    )


def _layers(errors: LayerErrors) -> str:
    rows = [
        (x.name, x.op, _db(x.int8_db), _db(x.graph_db), _db(x.engine_db), _db(x.engine_to_int8_db))
        for x in errors.layers
    ]
    header = ("layer", "op", "INT8 torch", "graph", "engine", "engine against INT8 torch")
    found = bullets(errors.findings)
    return (
        f"## Layer by layer, {errors.target}\n\n{found}\n\nSignal over noise in dB against FP32 "
        f"on {errors.images} calibration images; 6 dB are one bit.\n\n{table(header, rows)}"
    )


def _db(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
