"""Options that commands share."""

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

Compiler = Literal["openvino", "tensorrt_rtx", "tensorrt"]
"""The engines that write plans of their own."""


def finished_jobs(context: typer.Context, incomplete: str) -> list[str]:
    """The jobs with a run in the store, for the shell to complete."""
    root = Path(context.params.get("artifacts") or "artifacts")
    return sorted(
        place.parent.name
        for place in root.glob("runs/*/report.json")
        if place.parent.name.startswith(incomplete)
    )


JobFile = Annotated[Path, typer.Argument(help="job file, such as jobs/quickstart.yaml")]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="override a field, such as --set calibration.seed=1; the value is YAML; repeatable",
    ),
]
Artifacts = Annotated[
    str,
    typer.Option(
        envvar="ENGINESMITH_ARTIFACTS",
        help="folder or URL (s3://bucket/prefix) for everything that a run makes and reuses",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document and nothing else")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="results and failures only: no progress")
]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks and Prefect's own log")]


def numbers(option: str, text: str) -> tuple[float, ...]:
    """The numbers of ``text``, one a channel; raises InputError where an image cannot have them."""
    from schemas.errors import InputError

    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)) or (option == "--std" and min(values) <= 0):
        raise InputError(f"{option} {text}: write it as numbers with commas, such as 0.5,0.5,0.5")
    return values
