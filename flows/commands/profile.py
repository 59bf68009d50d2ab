"""``enginesmith profile``: how fast a network or a plan is here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from flows.commands.options import Json, Quiet
from schemas.target import Target

if TYPE_CHECKING:
    from schemas.profiling import Baseline, Latency, LatencyReport


_TIMES = ("median ms", "p90", "p99", "CV", "images/s", "streams")
_COLUMNS = ("contender", "threads", "batch", "size", *_TIMES)


def profile(
    path: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="an ONNX file, a plan, or a folder of plans"),
    ],
    engine: Annotated[
        Target,
        typer.Option(
            metavar="ENGINE",
            help="what an ONNX file is compiled with: openvino, tensorrt_rtx, tensorrt or "
            "onnxruntime",
        ),
    ] = "openvino",
    others: Annotated[
        list[str],
        typer.Option(
            "--vs",
            metavar="OTHER",
            help="another ONNX file, plan or folder, or an engine for MODEL; repeatable",
        ),
    ] = [],  # noqa: B006
    baselines: Annotated[
        list[str],
        typer.Option("--baseline", help="what to run a float32 ONNX file with besides; repeatable"),
    ] = ["onnxruntime", "openvino_float16"],  # noqa: B006
    batches: Annotated[
        list[int], typer.Option("--batch", min=1, help="images a call; repeatable")
    ] = [1],  # noqa: B006
    sizes: Annotated[
        list[int],
        typer.Option("--size", min=1, help="image height and width, in pixels; repeatable"),
    ] = [],  # noqa: B006
    threads: Annotated[
        list[int], typer.Option(min=0, help="CPU threads, 0 for all; repeatable")
    ] = [1, 0],  # noqa: B006
    rounds: Annotated[int, typer.Option(min=1, help="turns of each contender")] = 15,
    calls: Annotated[int, typer.Option(min=1, help="measured calls of a turn")] = 60,
    warmup: Annotated[int, typer.Option(min=0, help="calls before those, unmeasured")] = 15,
    duration: Annotated[
        float | None, typer.Option(min=0.0, help="go on for so many seconds at least")
    ] = None,
    steady: Annotated[
        bool, typer.Option("--steady", help="fail where the clock moved while measuring")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Time networks and plans against each other, in alternating blocks in one process.

    Ratios are of the first contender over each other, with a 95 % interval.

    Examples:

        enginesmith profile resnet18.onnx
        enginesmith profile int8.onnx --vs float32.onnx --batch 1 --batch 8 --threads 1
        enginesmith profile artifacts/runs/quickstart --json
    """
    from flows.commands.output import log_to_stderr
    from schemas.profiling import ProfileConfig
    from tasks.profiling.standalone import Request, profile_request

    log_to_stderr(quiet=quiet)
    config = ProfileConfig(
        rounds=rounds,
        calls=calls,
        warmup_calls=warmup,
        duration_s=duration or None,
        threads=tuple(threads),
        baselines=_known(baselines),
        steady_clocks="require" if steady else "warn",
    )
    report = profile_request(
        Request(path, engine, tuple(others), tuple(batches), tuple(sizes)), config
    )
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _print(report)


def _known(names: list[str]) -> "tuple[Baseline, ...]":
    from schemas.errors import InputError, nearest
    from schemas.profiling import Baseline

    for name in names:
        if name not in get_args(Baseline):
            raise InputError(
                f"--baseline {name}: there is no such baseline: {nearest(name, get_args(Baseline))}"
            )
    return cast("tuple[Baseline, ...]", tuple(names))


def _print(report: "LatencyReport") -> None:
    from rich.table import Table

    from flows.commands.output import console
    from schemas.profiling import threads_of

    out = console()
    out.print(report.machine)
    out.print()
    times = Table(*_COLUMNS, box=None, pad_edge=False)
    for row in report.latencies:
        times.add_row(*_row(row))
    out.print(times)
    if any(row.phases for row in report.latencies):
        out.print()
        parts = Table("contender", "batch", "part", "median ms", "p99", box=None, pad_edge=False)
        for row in report.latencies:
            for part in row.phases:
                parts.add_row(
                    row.name,
                    f"{row.batch_size}",
                    part.phase,
                    f"{part.median_ms:.4f}",
                    f"{part.p99_ms:.4f}",
                )
        out.print(parts)
    if report.ratios:
        out.print()
    for ratio in report.ratios:
        out.print(
            f"{ratio.of} is {ratio.ratio:.2f} times as fast as {ratio.over} "
            f"({ratio.ratio_low:.2f} to {ratio.ratio_high:.2f}) at batch {ratio.batch_size}, "
            f"{ratio.image_size_px[0]} px, {threads_of(ratio.threads)}",
            soft_wrap=True,
        )
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)


def _row(row: "Latency") -> list[str]:
    size = "x".join(map(str, row.image_size_px or ()))
    return [
        row.name,
        f"{row.threads or 'all'}",
        f"{row.batch_size}",
        size,
        *(f"{value:.3f}" for value in (row.median_ms, row.p90_ms, row.p99_ms)),
        f"{row.coefficient_of_variation:.1%}",
        f"{row.images_per_second:,.0f}",
        "" if row.streamed_images_per_second is None else f"{row.streamed_images_per_second:,.0f}",
    ]
