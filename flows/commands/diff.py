"""``enginesmith diff``: what changed between two graphs, in words."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Json


def diff(
    before: Annotated[Path, typer.Argument(metavar="A.onnx", help="the graph as it was")],
    after: Annotated[Path, typer.Argument(metavar="B.onnx", help="the graph as it is now")],
    as_json: Json = False,
) -> None:
    """Say what changed from one ONNX graph to another.

    Exit status 0 whether or not something did.

    Example:

        enginesmith diff raw.onnx repaired.onnx
    """
    from tasks.surgery.diff import diff as compare
    from tasks.surgery.intake import read_model

    found = compare(read_model(before), read_model(after))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    if found.same:
        typer.echo("the graphs have the same nodes, constants, grids and edges")
        return
    typer.echo(f"{found.nodes_before} nodes became {found.nodes_after}")
    for difference in found.differences:
        typer.echo(f"- {difference.text}")
