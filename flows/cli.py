"""The command line."""

import signal
import sys

import typer

from flows.commands import (
    build,
    cache,
    deploy,
    diff,
    doctor,
    explain,
    history,
    infer,
    inspect,
    lint,
    nightly,
    profile,
    publish,
    reports,
    rollback,
    run,
    schema,
    submit,
    surgery,
    sweep,
    train,
    worker,
)
from schemas.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Takes a PyTorch vision model, hands back an INT8 engine that is proven accurate and "
    "measured fast.\n\nStart with `enginesmith run jobs/quickstart.yaml`.",
)
app.command(name="run")(run.run)
app.command(name="train")(train.train)
app.command(name="sweep")(sweep.sweep)
app.command(name="explain")(explain.explain)
app.command(name="schema")(schema.schema)
app.command(name="surgery")(surgery.surgery)
app.command(name="lint")(lint.lint)
app.command(name="diff")(diff.diff)
app.command(name="build")(build.build)
app.command(name="inspect")(inspect.inspect)
app.command(name="profile")(profile.profile)
app.command(name="reports")(reports.reports)
app.command(name="publish")(publish.publish)
app.command(name="published")(publish.published)
app.command(name="rollback")(rollback.rollback)
app.command(name="infer")(infer.infer)
app.command(name="doctor")(doctor.doctor)
app.command(name="deploy")(deploy.deploy)
app.command(name="submit")(submit.submit)
app.command(name="worker")(worker.worker)
app.command(name="nightly")(nightly.nightly)
app.command(name="history")(history.history)
app.add_typer(cache.app, name="cache")


def main() -> None:
    """Run the command; a mistake of the user is one line on stderr and exit status 2."""
    # A terminated run ends like an interrupted one, so that the Prefect server it started ends too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except InputError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"enginesmith: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo(
            "enginesmith: stopped; finished stages are kept, run the command again", err=True
        )
        sys.exit(130)
