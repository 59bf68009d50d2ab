"""What a finished run prints."""

import shlex
from pathlib import Path

import typer

from schemas.engine import LayerTable
from schemas.evaluate import Accuracy
from schemas.profiling import Speedup, threads_of
from schemas.report import ReportResult, RunReport
from tasks.artifacts.store import Store
from tasks.report.layout import run_folder


def print_json(store: Store, result: ReportResult) -> None:
    """The whole report as one JSON document."""
    typer.echo(store.open(result.json_report).read_text(encoding="utf-8"))


def _interval(accuracy: Accuracy, report: RunReport) -> str:
    if accuracy is report.accuracies[0]:
        return ""  # FP32 against itself
    return f"{accuracy.drop_low:+.2f} to {accuracy.drop_high:+.2f}"


def _on_int8(layers: LayerTable) -> str:
    integer = len(layers.integer_convolutions)
    return f"{integer} of {integer + len(layers.float_convolutions)}"


def _threads(speed: Speedup) -> str:
    return f"{speed.ratio:.2f}x on {threads_of(speed.threads)}"


def print_summary(store: Store, result: ReportResult) -> None:
    """Verdict, gates, accuracy and speed as tables, and where everything lies."""
    from rich.table import Table

    from flows.commands.output import console as terminal
    from flows.commands.output import say

    report = store.load(result.json_report, RunReport)
    console = terminal()
    accuracy = Table(
        "network", "top-1", "points lost", "95 % interval", "flips", box=None, pad_edge=False
    )
    for a in report.accuracies:
        accuracy.add_row(
            a.name, f"{a.top1:.4f}", f"{a.drop_points:+.2f}", _interval(a, report), f"{a.flips}"
        )
    console.print(accuracy)
    console.print()
    engines = Table(
        "engine", "convs INT8", "kernels", "INT8 over FP32", "plan", box=None, pad_edge=False
    )
    speedups = {x.engine: x for part in report.latencies for x in reversed(part.speedups)}
    for e in report.engines:
        speed = speedups.get(e.target)
        *float32, int8 = e.plans
        for y in float32:
            engines.add_row(
                f"{e.target} float32",
                _on_int8(y.layers),
                f"{y.layers.kernels}",
                "",
                f"{y.name}.plan",
            )
        engines.add_row(
            e.target,
            _on_int8(int8.layers),
            f"{int8.layers.kernels}",
            _threads(speed) if speed else "not run here",
            f"{int8.name}.plan",
        )
        for x in e.further:
            engines.add_row(
                f"{e.target} {x.manifest.precision}",
                _on_int8(x.layers),
                f"{x.layers.kernels}",
                "",
                x.file_name,
            )
    console.print(engines, soft_wrap=True)
    console.print()
    if report.findings is not None:
        for warning in report.findings.calibration.warnings:
            say(f"warning: calibration: {warning}", "yellow")
    for engine in report.engines:
        if engine.delivered_why:
            say(f"{engine.target}: {engine.delivered} is delivered: {engine.delivered_why}")
    for gate in report.gates:
        if not gate.passed:
            say(f"FAILED {gate.name}: {gate.detail}", "red")
    console.print(
        f"{report.job.name}: {'passed' if report.passed else 'FAILED'}, {len(report.gates)} gates",
        style="green" if report.passed else "red",
    )
    folder = run_folder(store, report.job.name)
    console.print(f"report and plans: {folder}/", soft_wrap=True)
    if result.publication is not None:
        where = result.publication.key if result.publication.promoted else "nothing"
        console.print(f"published: {where}", soft_wrap=True)
    following = ["enginesmith", *next_command(report, folder, store.location)]
    console.print(f"next: {shlex.join(following)}", soft_wrap=True)


def next_command(report: RunReport, folder: Path, artifacts: str) -> list[str]:
    """What shows the most about how a run ended: about the first kind of gate that failed."""
    failed = [gate.name for gate in report.gates if not gate.passed]
    if any("accuracy." in name for name in failed):
        return ["explain", str(folder)]
    if any(name.startswith("regression: ") for name in failed):
        return ["history", report.job.name, "--artifacts", artifacts]
    return ["inspect", f"{folder}/{report.engines[0].target}.plan"]
