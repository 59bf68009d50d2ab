"""``enginesmith submit``: a run on the server's worker."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Json, Overrides


def submit(
    job: Annotated[
        str,
        typer.Argument(help="name of a job in the worker's folder, or a job file to send along"),
    ],
    overrides: Overrides = [],  # noqa: B006
    refresh: Annotated[
        list[str],
        typer.Option(
            metavar="STAGE", help="run this stage again though nothing changed; repeatable"
        ),
    ] = [],  # noqa: B006
    deployment: Annotated[
        str, typer.Option(help="the deployment that runs it, as name or flow/name")
    ] = "build/build",
    detach: Annotated[bool, typer.Option("--detach", help="do not wait for its end")] = False,
    as_json: Json = False,
) -> None:
    """Start a job on the Prefect server and follow it.

    The server is the one that PREFECT_API_URL names. Exit status: 0 all gates passed, 1 a gate
    failed, 2 something given cannot be used, 3 the run crashed or was cancelled.

    Examples:

        enginesmith submit quickstart
        enginesmith submit jobs/mine.yaml --set calibration.images=1024
    """
    import json

    from flows.environment import quiet

    quiet()
    from flows.api import api
    from flows.submit import check_pool, find_deployment, follow, start

    parameters = _parameters(job, overrides) | {"refresh": refresh}
    with api() as client:
        target = find_deployment(client, deployment)
        if not detach:
            check_pool(client, target)
        run = start(client, target, parameters)
        page = f"{str(client.api_url).rstrip('/').removesuffix('/api')}/runs/flow-run/{run.id}"
        typer.echo(f"{deployment}: {page}", err=True)
        if not detach:
            run = follow(client, run.id, lambda line: typer.echo(line, err=True))
    state = run.state
    assert state is not None
    if as_json:
        said = {"state": state.name, "message": state.message}
        typer.echo(json.dumps({"id": str(run.id), "page": page, **said}, indent=2))
    elif not detach:
        # Of a failure, the first line: the traceback is on the run's page.
        typer.echo((state.message or str(state.name)).splitlines()[0])
    raise typer.Exit(0 if detach else _status(state.type.value, str(state.name)))


def _parameters(job: str, overrides: list[str]) -> dict[str, object]:
    """A file is sent as it is: its relative paths are of the worker's jobs folder."""
    if not job.endswith((".yaml", ".yml")):
        return {"name": job, "overrides": overrides}
    from flows.jobfile import read_job

    return {"job": read_job(Path(job), overrides).model_dump(mode="json", exclude_unset=True)}


def _status(kind: str, name: str) -> int:
    from flows.deployed import BAD_INPUT, GATES_FAILED

    return 0 if kind == "COMPLETED" else {GATES_FAILED: 1, BAD_INPUT: 2}.get(name, 3)
