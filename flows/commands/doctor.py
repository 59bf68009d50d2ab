"""``enginesmith doctor``: what this machine can do."""

import json
import typing

import typer

from flows.commands.options import Json


def doctor(as_json: Json = False) -> None:
    """Show what is installed, which engines build and run here, and what to do about the rest."""
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
                row |= {"runs": "no", "advice": reason}
        except InputError as error:
            row |= {"builds": "no", "runs": "no", "advice": str(error)}
        rows.append(row)
    if as_json:
        typer.echo(json.dumps({"packages": _packages(), "engines": rows}, indent=2))
        return

    from rich.console import Console
    from rich.table import Table

    console = Console()
    packages = Table("package", "version", title="Installed")
    for name, version in _packages().items():
        packages.add_row(name, version or "[red]missing[/]")
    engines = Table("engine", "version", "builds", "runs", "what to do", title="Engines")
    for row in rows:
        engines.add_row(*row.values())
    console.print(packages)
    console.print(engines)


def _packages() -> dict[str, str | None]:
    import importlib.metadata
    import platform

    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "onnx", "onnx-graphsurgeon", "numpy", "prefect"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found
