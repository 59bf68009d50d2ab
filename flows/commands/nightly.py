"""``enginesmith nightly``: every job of a folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.options import Artifacts, Debug, Json, Quiet


def nightly(
    jobs: Annotated[
        list[str] | None, typer.Argument(help="names of jobs; left out: all of the folder")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--jobs", envvar="ENGINESMITH_JOBS", help="folder of job files")
    ] = Path("jobs"),
    artifacts: Artifacts = "artifacts",
    keep_good: Annotated[
        int | None,
        typer.Option(min=1, help="remove from the store what all but so many good builds made"),
    ] = None,
    keep_days: Annotated[
        float, typer.Option(min=0, help="with --keep-good: but keep so long")
    ] = 30,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Build every job of a folder in this process; one that fails does not stop the others.

    Exit status: 0 all passed, 1 a job failed, 2 something given cannot be used.

    Examples:

        enginesmith nightly
        enginesmith nightly quickstart resnet18-cifar10 --keep-good 5
    """
    import os

    from flows.commands.output import log_to_stderr
    from flows.environment import configure
    from flows.jobs_folder import JOBS_VARIABLE, check_name
    from flows.server import one_run_server
    from schemas.history import RetentionPolicy
    from tasks.artifacts.store import Store

    os.environ[JOBS_VARIABLE] = str(folder.absolute())
    for name in jobs or []:
        check_name(name)
    configure(Store(artifacts), debug=debug)
    log_to_stderr(quiet=quiet)
    policy = None
    if keep_good is not None:
        policy = RetentionPolicy(keep_good=keep_good, keep_days=keep_days)
    with one_run_server() as ready:
        from flows.nightly import JobsFailedError
        from flows.nightly import nightly as flow

        ready()
        state: Any = flow(jobs or [], on="here", retention=policy, return_state=True)
    summary = state.result(raise_on_failure=False)
    if isinstance(summary, JobsFailedError):
        summary = summary.summary
    if isinstance(summary, BaseException):
        raise summary
    if as_json:
        typer.echo(summary.model_dump_json(indent=2))
    else:
        for outcome in summary.outcomes:
            typer.echo(f"{outcome.outcome}: {outcome.job}: {outcome.detail}")
        good = sum(outcome.outcome == "passed" for outcome in summary.outcomes)
        typer.echo(f"{good} of {len(summary.outcomes)} jobs passed")
    raise typer.Exit(0 if summary.passed else 1)
