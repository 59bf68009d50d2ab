"""The reference pages of the documentation, written from the schemas and the command line.

A hook of MkDocs: the pages exist while the site is built, and cannot fall behind the code.
"""

from collections.abc import Iterator
from inspect import cleandoc
from types import UnionType
from typing import Any, Union, get_args, get_origin

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.cli import get_docs_for_click

from flows.cli import app
from schemas.job import Job


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages; MkDocs calls this once it has found the written ones."""
    for path, text in (("reference/job.md", job_page()), ("reference/cli.md", cli_page())):
        files.append(File.generated(config, path, content=text))
    return files


def cli_page() -> str:
    """Every command with its help."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="enginesmith")
    page = get_docs_for_click(obj=command, ctx=context, name="enginesmith", title="Command line")
    return page.replace("\b\n", "")  # it keeps a terminal from wrapping examples


def job_page() -> str:
    """Every field of a job file, a table for each section."""
    parts = ["# Job file", "`enginesmith schema` prints the same as JSON schema."]
    for name, model in _sections("", Job):
        title = f"`{name}`" if name else "The job"
        rows = [
            f"| `{field}` | {_type(info.annotation)} | {_default(info)} | {_about(info)} |"
            for field, info in model.model_fields.items()
        ]
        about = cleandoc(model.__doc__ or "") if model is not Job else ""
        parts += [f"## {title}", about, "| field | type | default | |\n|---|---|---|---|"]
        parts[-1] += "\n" + "\n".join(rows)
    return "\n\n".join(part for part in parts if part) + "\n"


def _sections(name: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield name, model
    for field, info in model.model_fields.items():
        for inner in _models(info.annotation):
            yield from _sections(f"{name}.{field}".lstrip("."), inner)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_type(a) for a in arguments if a is not type(None))
    if origin is not None and str(origin).endswith("Literal"):
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return "list of " + " and ".join(dict.fromkeys(_type(a) for a in arguments if a is not ...))
    if origin is not None and hasattr(annotation, "__metadata__"):
        return _type(arguments[0])
    if origin is not None:
        inner = " to ".join(_type(a) for a in arguments)
        return f"{origin.__name__} of {inner}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a section"
    return str(getattr(annotation, "__name__", annotation))


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "needed"
    value = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return ""
    return "" if value is None else f"`{value}`".replace("|", "\\|")


def _about(info: FieldInfo) -> str:
    return (info.description or "").replace("|", "\\|")
