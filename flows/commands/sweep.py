"""``enginesmith sweep``: calibrations side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import Artifacts, Debug, JobFile, Json, Overrides, Quiet

if TYPE_CHECKING:
    from schemas.convert import Observer
    from schemas.sweep import SweepReport


def sweep(
    job: JobFile,
    observers: Annotated[
        str, typer.Option(help="which to try, such as minmax,mse; left out: all")
    ] = "minmax,moving_average,histogram,percentile,mse,entropy",
    images: Annotated[
        str, typer.Option(help="numbers of images, such as 128,512; left out: the job's")
    ] = "",
    seeds: Annotated[
        str, typer.Option(help="calibration seeds, such as 0,1,2; left out: the job's")
    ] = "",
    overrides: Overrides = [],  # noqa: B006
    artifacts: Artifacts = "artifacts",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Try observers, numbers of calibration images and seeds, ranked by the engine's accuracy.

    Every candidate is cached: a sweep that was stopped goes on, and a wider one computes only what
    is new.

    Examples:

        enginesmith sweep jobs/quickstart.yaml
        enginesmith sweep jobs/quickstart.yaml --observers mse,minmax --images 128,512 --seeds 0,1
    """
    from flows.commands.session import start
    from flows.server import one_run_server
    from schemas.sweep import SweepReport

    names = _observers(observers)
    counts = _numbers("--images", images, least=1)
    chosen_seeds = _numbers("--seeds", seeds, least=0)
    session = start(job, overrides, artifacts, quiet=quiet, debug=debug)
    with one_run_server() as ready:
        from flows.sweep import sweep as flow

        ready()
        result = flow(session.job, names, counts, chosen_seeds)
    report = session.store.load(result.report, SweepReport)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        print_sweep(report, job)


def _observers(text: str) -> "tuple[Observer, ...]":
    """The observers named, each once; raises InputError for one that there is not."""
    from typing import cast, get_args

    from schemas.convert import Observer
    from schemas.errors import InputError, nearest

    known = get_args(Observer)
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in known:
            raise InputError(
                f"--observers {name}: there is no such observer: {nearest(name, known)}"
            )
    if not names:
        raise InputError(f"--observers: name at least one of {', '.join(known)}")
    return cast(tuple[Observer, ...], names)


def _numbers(option: str, text: str, least: int) -> tuple[int, ...]:
    from schemas.errors import InputError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if not part.isdecimal() or int(part) < least:
            raise InputError(
                f"{option} {part}: write whole numbers from {least} on, such as {option} 1,2"
            )
    return tuple(dict.fromkeys(int(part) for part in parts))


def print_sweep(report: "SweepReport", job_file: Path) -> None:
    """The groups as a table, best first, and how to run the best."""
    from rich.table import Table

    from flows.commands.output import console

    out = console()
    out.print(
        f"{report.engine} on {report.images:,} test images, FP32 top-1 {report.top1_float32:.4f}"
    )
    table = Table(
        *("observer", "images", "seeds", "top-1", "points lost", "95 % interval", "worst seed"),
        box=None,
        pad_edge=False,
    )
    for group in report.groups:
        table.add_row(
            group.observer,
            f"{group.images}",
            f"{len(group.seeds)}",
            f"{group.top1:.4f}",
            f"{group.drop_points:+.2f}",
            f"{group.drop_low:+.2f} to {group.drop_high:+.2f}",
            f"{group.worst_drop_points:+.2f}",
        )
    out.print(table)
    best = report.groups[0]
    alike = [g for g in report.groups[1:] if g.drop_low <= best.drop_points]
    if alike:
        out.print(
            f"{len(alike)} of {len(report.groups) - 1} others are within their interval of the best"
        )
    out.print(
        f"next: enginesmith run {job_file} --set quantization.observer={best.observer} "
        f"--set calibration.images={best.images}",
        soft_wrap=True,
    )
