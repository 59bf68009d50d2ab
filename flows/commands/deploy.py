"""``enginesmith deploy``: what the deploy service does."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Json


def deploy(
    file: Annotated[Path, typer.Argument(help="the deployments")] = Path("prefect.yaml"),
    check: Annotated[
        bool, typer.Option("--check", help="change nothing; exit 1 where something differs")
    ] = False,
    pool_type: Annotated[
        str, typer.Option(help="how runs are started: process, docker or kubernetes")
    ] = "process",
    limit: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=N", help="a further concurrency limit, or its slots; repeatable"
        ),
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Put work pool, limits, deployments and automations on the Prefect server.

    Done again, it changes only what differs from prefect.yaml. With ENGINESMITH_NOTIFY_URL set, a
    webhook of that address is told of every run that fails; unset, what is there of that stays.

    Examples:

        enginesmith deploy
        enginesmith deploy --check
    """
    import json
    import os
    from dataclasses import asdict

    from flows.environment import quiet

    quiet()
    from flows.deploy.apply import apply, pieces
    from flows.deploy.notify import NOTIFY_VARIABLE

    wanted = pieces(file, pool_type, limit, os.environ.get(NOTIFY_VARIABLE))
    outcomes = list(apply(wanted, check=check))
    if as_json:
        typer.echo(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
    else:
        words = {"kept": "as it should be", "made": "made", "changed": "changed"}
        if check:
            words |= {"made": "MISSING", "changed": "DIFFERS"}
        for outcome in outcomes:
            fields = f" ({', '.join(outcome.differing)})" if outcome.differing else ""
            typer.echo(f"{outcome.piece}: {words[outcome.status]}{fields}")
    raise typer.Exit(int(check and any(outcome.status != "kept" for outcome in outcomes)))
