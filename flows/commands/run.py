"""``enginesmith run``: the whole job."""

from typing import Annotated

import typer

from flows.commands.options import Artifacts, Debug, JobFile, Json, Overrides, Quiet


def run(
    job: JobFile,
    overrides: Overrides = [],  # noqa: B006
    artifacts: Artifacts = "artifacts",
    refresh: Annotated[
        list[str],
        typer.Option(
            metavar="STAGE", help="run this stage again though nothing changed; repeatable"
        ),
    ] = [],  # noqa: B006
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Quantize a model, build its engines, measure and prove them, and write the report.

    Exit status: 0 all gates passed, 1 a gate failed, 2 something given cannot be used.

    Examples:

        enginesmith run jobs/quickstart.yaml
        enginesmith run jobs/quickstart.yaml --set calibration.images=1024 --refresh profiling
    """
    from flows.commands.session import start
    from flows.server import one_run_server

    session = start(job, overrides, artifacts, quiet=quiet, debug=debug)

    with one_run_server() as ready:
        from flows.build import build, check_stages

        stages = check_stages(refresh)
        ready()
        result = build(session.job, stages)

    from flows.commands.summary import print_json, print_summary

    (print_json if as_json else print_summary)(session.store, result)
    raise typer.Exit(0 if result.passed else 1)
