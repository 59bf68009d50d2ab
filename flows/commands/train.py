"""``enginesmith train``: only the checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Artifacts, Debug, JobFile, Json, Overrides, Quiet


def train(
    job: JobFile,
    overrides: Overrides = [],  # noqa: B006
    artifacts: Artifacts = "artifacts",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="copy the safetensors file here")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train the job's network from scratch, as its train section says.

    Interrupted, it goes on from the last finished epoch when it is run again.

    Example:

        enginesmith train jobs/quickstart.yaml -o checkpoints/resnet20.safetensors
    """
    import shutil
    import tempfile

    from flows.commands.output import writing
    from flows.commands.session import start
    from flows.preflight import check_network
    from flows.server import one_run_server

    # A machine for training need not have the engines.
    session = start(job, overrides, artifacts, quiet=quiet, debug=debug, check=check_network)
    if output is not None:
        # Before an hour's training, not after it.
        with writing("--output", output), tempfile.TemporaryFile(dir=output.parent):
            pass

    with one_run_server() as ready:
        from flows.build import train_only

        ready()
        result = train_only(session.job)
    weights = session.store.open(result.weights)
    if output is not None:
        with writing("--output", output):
            shutil.copyfile(weights, output)
        weights = output
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
    else:
        typer.echo(f"checkpoint: {weights}")
        typer.echo(f"history:    {session.store.open(result.history)}")
