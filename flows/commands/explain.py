"""``enginesmith explain``: what becomes of each module of a network, and where error enters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import Json, Overrides
from flows.commands.output import console, say

if TYPE_CHECKING:
    from schemas.convert import ConvertSummary
    from schemas.report import RunReport
    from schemas.sensitivity import LayerErrors


def explain(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="JOB|RUN", help="a job file, or the folder or report.json of a run of one"
        ),
    ],
    overrides: Overrides = [],  # noqa: B006
    only_float: Annotated[
        bool, typer.Option("--float", help="only what stays in float, and why")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show which modules a job quantizes, how, and why the others stay in float.

    Of a job nothing is calibrated and nothing stored. Of a run the scales are shown as well, and
    layer by layer how far PyTorch's INT8 network, the repaired graph and the engine are from FP32:
    where most error enters, and where the engine first differs from PyTorch.

    Examples:

        enginesmith explain jobs/efficientnet-lite0.yaml --set quantization.last_layer=float
        enginesmith explain artifacts/runs/quickstart --float
    """
    is_job = source.suffix in (".yaml", ".yml")
    report = None if is_job else _read(source)
    summary = _of_job(source, overrides) if report is None else _of_run(report, source)
    layers = () if report is None or report.findings is None else report.findings.layers
    if only_float:
        left = tuple(row for row in summary.modules if not row.quantized)
        summary = summary.model_copy(update={"modules": left})
    if as_json:
        typer.echo(_json(summary, None if report is None else layers))
        return
    _print(summary)
    for errors in layers:
        _print_layers(errors)


def _json(summary: "ConvertSummary", layers: "tuple[LayerErrors, ...] | None") -> str:
    """The modules, and of a run every engine's layers."""
    import json

    document = summary.model_dump(mode="json")
    if layers is not None:
        document["layers"] = [errors.model_dump(mode="json") for errors in layers]
    return json.dumps(document, indent=2)


def _of_job(file: Path, overrides: list[str]) -> "ConvertSummary":
    from flows.jobfile import load_job
    from flows.jobs_folder import trust

    job = load_job(file, overrides)
    trust(file)

    from schemas.convert import ConvertSummary
    from tasks.datasets.open import open_dataset
    from tasks.models.admit import admit
    from tasks.models.build import build_model
    from tasks.models.choose import choose, example_of
    from tasks.models.quantizer import NOTHING_SEEN, quantizer
    from tasks.models.weights import load_weights

    network = build_model(job.model.factory, job.model.kwargs)
    if job.model.weights is not None:
        load_weights(network, job.model.weights)
    network.eval()
    example = example_of(open_dataset(job.data, "train").input_shape)
    admit(network, example)
    choice = choose(network, job.quantization, example)
    modules = quantizer(choice.mode).explain(network, job.quantization, NOTHING_SEEN, example)
    return ConvertSummary(modules=modules, mode=choice.mode, reason=choice.reason)


def _read(place: Path) -> "RunReport":
    from pydantic import ValidationError

    from schemas.errors import InputError
    from schemas.report import RunReport

    file = place / "report.json" if place.is_dir() else place
    try:
        return RunReport.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{place}: neither a job file (.yaml) nor a run with a report.json: name one, such as "
            "artifacts/runs/quickstart"
        ) from error


def _of_run(report: "RunReport", place: Path) -> "ConvertSummary":
    from schemas.errors import InputError

    if report.quantized is None:
        raise InputError(f"{place} is of an earlier version, without modules: run the job again")
    return report.quantized


def _print(summary: "ConvertSummary") -> None:
    from rich.table import Table

    out = console()
    grid = Table("module", "is a", "became", "", "scale", "why", box=None, pad_edge=False)
    for row in summary.modules:
        precision = "int8" if row.quantized else "float"
        scale = "" if row.scale is None else f"{row.scale:.4g}"
        grid.add_row(row.name, row.kind, row.became, precision, scale, row.why)
    out.print(grid)
    integer = sum(row.quantized for row in summary.modules)
    out.print(
        f"{integer} of {len(summary.modules)} INT8, by {summary.mode}: {summary.reason}",
        soft_wrap=True,
    )


def _print_layers(errors: "LayerErrors") -> None:
    from rich.table import Table

    out = console()
    forms = ("INT8 torch", "graph", "engine", "engine to INT8")
    grid = Table("layer", "op", *forms, "", box=None, pad_edge=False)
    for layer in errors.layers:
        figures = (layer.int8_db, layer.graph_db, layer.engine_db, layer.engine_to_int8_db)
        shown = ("" if x is None else f"{x:.1f}" for x in figures)
        said = ["most error enters"] * (layer.name == errors.enters_at)
        said += ["first differs from PyTorch"] * (layer.name == errors.diverges_at)
        grid.add_row(layer.name, layer.op, *shown, ", ".join(said))
    count = errors.images
    out.print(f"\n{errors.target}: dB of signal over noise against FP32, {count} images")
    out.print(grid)
    for line in errors.findings:
        say(line)
