"""The run report as a page of Markdown."""

from schemas.report import EngineReport, RunReport
from tasks.report.findings import render_findings
from tasks.report.latency import render_latency
from tasks.report.modules import render_modules
from tasks.report.tables import plain, table


def render(report: RunReport) -> str:
    """The page: verdict and gates first, then accuracy, latency, engines, surgery and origins."""
    verdict = "passed" if report.passed else "FAILED"
    parts = [f"# {report.job.name}: {verdict}", _gates(report), _accuracy(report)]
    parts += [render_latency(report), _engines(report), *render_findings(report.findings)]
    parts += [render_modules(report.quantized), _surgery(report)]
    parts += [_published(report), _origins(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _gates(report: RunReport) -> str:
    lines = [
        f"- {'pass' if gate.passed else '**FAIL**'}: {plain(gate.name)}: {plain(gate.detail)}"
        for gate in report.gates
    ]
    return "## Gates\n\n" + "\n".join(lines)


def _accuracy(report: RunReport) -> str:
    rows = [
        (
            a.name,
            f"{a.top1:.4f}",
            "" if a.top5 is None else f"{a.top5:.4f}",
            f"{a.drop_points:+.2f}",
            f"{a.drop_low:+.2f} to {a.drop_high:+.2f}" if a is not report.accuracies[0] else "",
            f"{a.p_value:.2g}" if a is not report.accuracies[0] else "",
            f"{a.flips} ({a.flips_to_wrong} to wrong, {a.flips_to_right} to right)",
            f"{a.logit_rmse:.4f}",
        )
        for a in report.accuracies
    ]
    header = ("network", "top-1", "top-5", "points lost", "95 % interval", "McNemar p")
    header_of_flips = ("flips against FP32", "logit RMSE")
    images = report.accuracies[0].images
    return f"## Accuracy, {images:,} test images\n\n" + table((*header, *header_of_flips), rows)


def _engines(report: RunReport) -> str:
    rows = [row for engine in report.engines for row in _engine_rows(engine)]
    header = ("plan", "precision", "kernels", "convs INT8", "convs float", "MB", "built in s")
    notes = [f"- {e.target}: {e.not_run}" for e in report.engines if e.not_run is not None]
    notes += [
        f"- {e.target}.plan is {e.delivered}: {plain(e.delivered_why)}"
        for e in report.engines
        if e.delivered_why
    ]
    return "\n\n".join(["## Engines", table(header, rows), *(["\n".join(notes)] if notes else [])])


def _engine_rows(engine: EngineReport) -> list[tuple[object, ...]]:
    return [
        (
            engine.target,
            manifest.precision,
            layers.kernels,
            len(layers.integer_convolutions),
            len(layers.float_convolutions),
            f"{manifest.plan_bytes / 1e6:.2f}",
            f"{manifest.build_s:.2f}",
        )
        for manifest, layers in (
            (engine.manifest, engine.layers),
            *((x.manifest, x.layers) for x in engine.further),
            (engine.baseline, engine.baseline_layers),
        )
    ]


def _surgery(report: RunReport) -> str:
    sections = []
    for surgery in report.surgeries:
        passes = [
            (p.name, "skipped" if p.skipped else len(p.changed), p.summary) for p in surgery.passes
        ]
        parity = [
            f"- against {p.against}, {p.images} images: "
            + ("bit-equal" if p.bit_equal else f"at most {p.max_difference_steps:.1f} steps apart")
            + f", top-1 agrees on {p.top1_agreement:.1%}"
            for p in surgery.parity
        ]
        before, after = sum(surgery.nodes_before.values()), sum(surgery.nodes_after.values())
        sections.append(
            f"## Surgery for {surgery.target}: {before} nodes to {after}\n\n"
            + table(("pass", "changed", "what"), passes)
            + "\n\n"
            + "\n".join(parity)
        )
    return "\n\n".join(sections)


def _published(report: RunReport) -> str:
    package = report.package
    if package is None:
        return ""
    formats = " and ".join(package.formats)
    if not report.passed:
        return "## Published\n\nNothing: a gate failed, so the latest version stays as it was."
    return f"## Published\n\nVersion `{package.version}` as {formats}."


def _origins(report: RunReport) -> str:
    versions = table(("package", "version"), report.versions.items())
    named = [x for e in report.engines for x in e.plans]
    plans = table(("plan", "sha256"), [(x.name, f"`{x.manifest.plan_sha256}`") for x in named])
    return f"## Origins\n\n{plans}\n\n{versions}"
