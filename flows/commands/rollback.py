"""``enginesmith rollback``: back to the version before."""

from typing import Annotated

import typer

from flows.commands.options import Artifacts, Json


def rollback(
    job: Annotated[str, typer.Argument(help="name of a published job")],
    artifacts: Artifacts = "artifacts",
    as_json: Json = False,
) -> None:
    """Make the version before the latest one the latest again.

    The version left behind stays on disk and is not published again by itself.

    Example:

        enginesmith rollback quickstart
    """
    from tasks.artifacts.store import Store
    from tasks.publish.latest import rollback as roll_back

    pointer = roll_back(Store(artifacts), job)
    if as_json:
        typer.echo(pointer.model_dump_json(indent=2))
        return
    moment = pointer.latest.promoted_at.strftime("%Y-%m-%d %H:%M UTC")
    typer.echo(
        f"{job}: version {pointer.latest.version}, first the latest on {moment}, is it again"
    )
    if pointer.withdrawn:
        typer.echo(f"rolled back: {', '.join(pointer.withdrawn)}")
