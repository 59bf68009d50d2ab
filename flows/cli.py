"""The command line."""

import gc
import re
import shlex
import signal
import sys
from collections.abc import Callable
from inspect import cleandoc
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.commands import (
    build,
    cache,
    compare,
    deploy,
    diff,
    doctor,
    explain,
    history,
    infer,
    init,
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


def examples_as_typed(text: str) -> str:
    """Help whose indented lines are not wrapped: they are there to be copied."""
    return re.sub(r"(?m)(?<=\n\n)(?= {4}\S)", "\b\n", text)


class Panels(TyperGroup):
    """Commands under the heading of what they are for, in plain text.

    Typer's own way draws boxes with rich, and its imports alone take as long as all of --help.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            panel = str(getattr(command, "rich_help_panel", None) or "Commands")
            panels.setdefault(panel, []).append((name, command.get_short_help_str(1000)))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=Panels,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=examples_as_typed(
        "Takes a PyTorch vision model, hands back an INT8 engine that is proven accurate and "
        "measured fast.\n\nExamples:\n\n"
        "    enginesmith init\n"
        "    enginesmith run jobs/quickstart.yaml\n"
        "    enginesmith compare quickstart@1 quickstart"
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("enginesmith"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print it")
    ] = False,
    debug: Annotated[  # noqa: ARG001
        bool, typer.Option("--debug", help="show tracebacks, whatever the command")
    ] = False,
) -> None:
    """main() looks for --debug among all arguments; here it is known before any command."""
    gc.enable()


PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "A job": (
        init.init,
        run.run,
        train.train,
        sweep.sweep,
        explain.explain,
        schema.schema,
        doctor.doctor,
    ),
    "A graph or a plan": (
        surgery.surgery,
        lint.lint,
        diff.diff,
        build.build,
        inspect.inspect,
        profile.profile,
        infer.infer,
    ),
    "What runs left behind": (
        reports.reports,
        history.history,
        compare.compare,
        publish.publish,
        publish.published,
        rollback.rollback,
    ),
    "Every night, and a server": (nightly.nightly, deploy.deploy, submit.submit, worker.worker),
}
store = typer.Typer(
    cls=Panels,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look after the artifact store: list it, read it through, remove what nothing needs.",
)


def add(to: typer.Typer, command: Callable[..., None], panel: str | None = None) -> None:
    """A function as a command of its name, its docstring as help."""
    text = examples_as_typed(cleandoc(command.__doc__ or ""))
    to.command(name=command.__name__, help=text, rich_help_panel=panel)(command)


for panel, commands in PANELS.items():
    for command in commands:
        add(app, command, panel)
for command in (cache.ls, cache.verify, cache.gc):
    add(store, command)
app.add_typer(store, name="cache", rich_help_panel="What runs left behind")


INTERRUPTED = 130
RESUMED = ("run", "train", "sweep", "nightly")
"""Commands that take up where they were."""

# What Typer raises where arguments do not fit; it keeps the class's name to itself.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command; a mistake of the user is one line on stderr and exit status 2."""
    # What imports and help make stays: looking for garbage in it would take a tenth of --help.
    gc.disable()
    # A terminated run ends like an interrupted one, so that the Prefect server it started ends too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = app(prog_name="enginesmith", standalone_mode=False)
        # Typer answers an interrupt with a status, and says nothing.
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(status)
    except UsageError as error:
        typer.echo(_usage(error), err=True)
        sys.exit(2)
    except InputError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"enginesmith: {error}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo(f"enginesmith: {_stopped(sys.argv[1:])}", err=True)
        sys.exit(INTERRUPTED)


def _stopped(arguments: list[str]) -> str:
    """What an interrupted command leaves behind, and how to go on."""
    if arguments[:1] and arguments[0] in RESUMED:
        again = shlex.join(["enginesmith", *arguments])
        return f"stopped; finished stages are kept, run the command again to go on: {again}"
    return "stopped"


def _usage(error: Any) -> str:
    """An error of Typer's as one line; help, where a command was given nothing at all."""
    said = str(error.format_message())
    if "\n" in said:
        return said
    command = error.ctx.command_path if error.ctx else "enginesmith"
    said = re.sub(r"^Invalid value for '([^']*)': (Value error, )?", r"\1: ", said.rstrip("."))
    like = re.search(r"\.? \(?(?:Did you mean|Possible options:) (.*?)[?)]+$", said)
    what = said[: like.start()] if like else said
    fix = f"did you mean {like[1]}?" if like else f"see {command} --help"
    return f"enginesmith: {what[:1].lower()}{what[1:]}: {fix}"
