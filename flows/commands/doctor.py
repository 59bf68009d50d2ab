"""``enginesmith doctor``: what this machine can do."""

import json
import typing

import typer

from flows.commands.options import Json

INSTALL = "install what requirements.lock names: make venv in a clone"
ELSEWHERE = (
    "its plans are built here all the same: copy one with the files beside it to a machine with "
    "its GPU, or send the job to a worker there, enginesmith submit JOB"
)


def doctor(as_json: Json = False) -> None:
    """Show what is installed, which engines build and run here, and what to do about the rest.

    Examples:

        enginesmith doctor
        enginesmith doctor --json
    """
    packages, engines = _packages(), _engines()
    if as_json:
        typer.echo(json.dumps({"packages": packages, "engines": engines}, indent=2))
        return

    from rich.table import Table

    from flows.commands.output import console, say

    out = console()
    installed = Table("package", "version", box=None, pad_edge=False)
    for name, version in packages.items():
        installed.add_row(name, version or "missing")
    grid = Table("engine", "version", "builds", "runs", box=None, pad_edge=False)
    for row in engines:
        grid.add_row(row["engine"], row["version"], row["builds"], row["runs"])
    for part in (installed, "", grid, ""):
        out.print(part)
    missing = [name for name, version in packages.items() if version is None]
    if missing:
        say(f"{', '.join(missing)} missing: {INSTALL}", "red")
    for row in engines:
        if row["advice"]:
            what = "does not build here" if row["builds"] == "no" else "does not run here"
            say(f"{row['engine']} {what}: {row['advice']}", "yellow")
    out.print("next: enginesmith init, or enginesmith run jobs/quickstart.yaml", soft_wrap=True)


def _engines() -> list[dict[str, str]]:
    """Each engine's version, whether it builds and runs here, and what to do where it does not."""
    from schemas.base import Target
    from schemas.errors import InputError
    from tasks.runtimes.registry import runtime

    rows: list[dict[str, str]] = []
    for target in typing.get_args(Target):
        engine = runtime(target)
        row = {"engine": target, "version": "", "builds": "yes", "runs": "yes", "advice": ""}
        try:
            row["version"] = ", ".join(f"{v}" for v in engine.fingerprint().values())
            reason = engine.cannot_run()
            if reason is not None:
                row |= {"runs": "no", "advice": f"{reason}; {ELSEWHERE}"}
        except InputError as error:
            row |= {"builds": "no", "runs": "no", "advice": str(error)}
        rows.append(row)
    return rows


def _packages() -> dict[str, str | None]:
    import platform

    from tasks.versions import installed_versions

    names = ("torch", "torchvision", "onnx", "onnx-graphsurgeon", "numpy", "prefect")
    installed = dict.fromkeys(names) | installed_versions(names)
    return {"python": platform.python_version(), **installed}
