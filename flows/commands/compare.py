"""``enginesmith compare``: two runs side by side."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import Artifacts, Json, finished_jobs

if TYPE_CHECKING:
    from schemas.compare import Comparison, Figure

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        autocompletion=finished_jobs,
        help="a job (its newest run), JOB@N (build N of its history), or a run's folder",
    ),
]


def compare(
    left: Run,
    right: Run,
    artifacts: Artifacts = "artifacts",
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the comparison as a page here")
    ] = None,
    every_layer: Annotated[
        bool, typer.Option("--layers", help="print the layers that are the same as well")
    ] = False,
    as_json: Json = False,
) -> None:
    """Set two runs side by side: configs, figures, graphs and layers.

    Speed is each run's ratio over its own FP32 engine: milliseconds of two runs are two
    measurements. Another machine, other versions or other images are said first.

    Examples:

        enginesmith compare quickstart@1 quickstart
        enginesmith compare resnet18-cifar10 mobilenetv2-cifar10 --html compared.html
    """
    from flows.comparison import compare_runs, drawn, find
    from tasks.artifacts.store import Store

    store = Store(artifacts)
    runs = find(store, left), find(store, right)
    found = compare_runs(*runs)
    if html is not None:
        from flows.commands.output import write_page
        from tasks.report.page.comparison import comparison_page

        write_page(html, comparison_page(found, drawn(*runs)))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _print(found, every_layer=every_layer)


def _print(found: "Comparison", *, every_layer: bool) -> None:
    from flows.commands.output import console, say
    from tasks.compare.words import (
        graph_lines,
        is_timed,
        layer_cells,
        layers_line,
        sections,
        verdict_of,
    )

    out = console()
    names = (found.left.label, found.right.label)
    for side in (found.left, found.right):
        say(verdict_of(side))
    for caution in found.cautions:
        say(f"caution: {caution}", "yellow")
    if not found.config:
        out.print("the jobs are the same")
    for title, rows in sections(found):
        out.print()
        _table((title, *names), rows)
    out.print()
    _figures("accuracy", names, found.accuracy)
    for engine in found.engines:
        out.print()
        _figures(engine.target, names, engine.figures)
        for line in graph_lines(engine):
            say(f"graph: {line}")
        say(f"layers: {layers_line(engine)}")
        cells = [layer_cells(row) for row in engine.layers if every_layer or not row.same]
        shares = ("share", "share") if is_timed(engine) else ()
        if cells:
            heads = ("ONNX nodes", *names, *shares)
            _table(heads, (row[: len(heads)] for row in cells))


def _figures(title: str, names: tuple[str, str], figures: "Sequence[Figure]") -> None:
    from tasks.compare.words import difference_of, value_of

    rows = ((x.name, value_of(x, x.left), value_of(x, x.right), difference_of(x)) for x in figures)
    _table((title, *names, "difference"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table

    from flows.commands.output import console

    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console().print(table)
