"""``enginesmith history``: what was built, and what moved the figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.options import Artifacts, Json, finished_jobs
from schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.history import BuildRecord
    from tasks.history.records import History


def history(
    job: Annotated[
        str | None,
        typer.Argument(
            help="name of a job; left out: the last build of every job",
            autocompletion=finished_jobs,
        ),
    ] = None,
    artifacts: Artifacts = "artifacts",
    html: Annotated[
        Path | None, typer.Option(help="write a page with charts of the job's builds here")
    ] = None,
    as_json: Json = False,
) -> None:
    """Accuracy, speed, size and kernels over builds, with the change that moved them.

    Examples:

        enginesmith history
        enginesmith history quickstart --html history.html
    """
    import json

    from tasks.artifacts.store import Store
    from tasks.history.records import histories, named_history

    store = Store(artifacts)
    found = dict(histories(store)) if job is None else {job: named_history(store, job)}
    for each in found.values():
        for damaged in each.damaged:
            typer.echo(f"enginesmith: {damaged.key} {damaged.reason}: passed over", err=True)
    if html is not None:
        if job is None:
            raise InputError("--html draws one job: name it, enginesmith history JOB --html FILE")
        from flows.commands.output import write_page

        write_page(html, _page(job, found[job]))
    if as_json:
        document = {name: _as_document(each) for name, each in found.items()}
        typer.echo(json.dumps(document if job is None else document[job], indent=2))
    elif not found:
        typer.echo(
            f"no build has finished in {store.location}: enginesmith run jobs/quickstart.yaml"
        )
    else:
        for name, each in found.items():
            _print(name, each, last=job is None)


def _as_document(history: "History") -> dict[str, Any]:
    return {
        "builds": [build.model_dump(mode="json") for build in history.builds],
        "damaged": [damaged.model_dump(mode="json") for damaged in history.damaged],
    }


def _page(job: str, history: "History") -> str:
    from tasks.report.page.history import history_page

    reasons = {build.sequence: _notes(build, before) for build, before in _pairs(history)}
    return history_page(job, history.builds, reasons)


def _pairs(history: "History") -> "Iterator[tuple[BuildRecord, BuildRecord | None]]":
    """Each build with the one before it."""
    return zip(history.builds, (None, *history.builds), strict=False)


def _print(job: str, history: "History", *, last: bool) -> None:
    from rich.table import Table

    from flows.commands.output import console, say

    table = Table(
        *("build", "finished", "engine", "top-1", "INT8 over FP32", "plan MB", "kernels", "gates"),
        box=None,
        pad_edge=False,
        title=job,
        title_justify="left",
    )
    builds = history.builds[-1:] if last else history.builds
    for build in builds:
        for row in _rows(build):
            table.add_row(*row)
    console().print(table)
    for build, before in _pairs(history):
        if not last or build is history.builds[-1]:
            for note in _notes(build, before):
                say(f"build {build.sequence} {note}")


def _rows(build: "BuildRecord") -> list[tuple[str, ...]]:
    from schemas.profiling import threads_of

    rows: list[tuple[str, ...]] = []
    for place, engine in enumerate(build.engines):
        speed = next(iter(engine.speedups), None)
        head = ("", "") if place else (f"{build.sequence}", f"{build.finished:%Y-%m-%d %H:%M}")
        not_timed = "not run" if engine.delivered == "int8" else ""
        verdict = "" if place else "passed" if build.passed else f"{len(build.failed)} failed"
        rows.append(
            (
                *head,
                engine.name,
                "" if engine.top1 is None else f"{engine.top1:.4f}",
                f"{speed.ratio:.2f}x on {threads_of(speed.threads)}" if speed else not_timed,
                f"{engine.plan_bytes / 1e6:.2f}",
                f"{engine.kernels}",
                verdict,
            )
        )
    return rows


def _notes(build: "BuildRecord", before: "BuildRecord | None") -> list[str]:
    """What changed since the build before, what failed, and a clock that went back."""
    from tasks.history.changes import changes, environment_changes

    lines = []
    # The report holds what the gates said, which is told in the next line.
    made = [stage for stage in build.stages if stage.stage != "report"]
    moved = [] if before is None else [f"{x.stage}: {x}" for x in changes(before, made)]
    moved += [] if before is None else environment_changes(before, build.versions)
    if moved:
        more = f" and {len(moved) - 4} more" if len(moved) > 4 else ""
        lines.append(f"changed {'; '.join(moved[:4])}{more}")
    if build.failed:
        lines.append(f"failed {', '.join(build.failed)}")
    if build.clock_behind_s:
        lines.append(
            f"has a clock {build.clock_behind_s:.0f} s behind an earlier build's: set its "
            "machine's clock (builds are in the order of their numbers)"
        )
    return lines
