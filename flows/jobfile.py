"""From a YAML file to a validated Job."""

import difflib
import typing
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from flows.yaml_file import read_yaml
from schemas.base import Strict, Target
from schemas.errors import InputError
from schemas.job import Job


def load_job(path: Path, overrides: Sequence[str] = ()) -> Job:
    """Read, override and validate a job file.

    ``overrides`` are ``a.b=value`` with the value in YAML. Relative paths in a job are relative to
    its file. Raises InputError, naming each wrong field, its value and the fix.
    """
    return anchored(read_job(path, overrides), path.parent.absolute())


def read_job(path: Path, overrides: Sequence[str] = ()) -> Job:
    """The same with paths as they are written, for a job that runs elsewhere."""
    document = _read(path)
    for override in overrides:
        _apply(document, override)
    try:
        return Job.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from error


def targets(job: Job) -> list[tuple[Target, Strict]]:
    """The engines that a job asks for, with their options."""
    asked: list[tuple[Target, Strict | None]] = [
        ("openvino", job.engines.openvino),
        ("tensorrt_rtx", job.engines.tensorrt_rtx),
        ("tensorrt", job.engines.tensorrt),
    ]
    return [(target, options) for target, options in asked if options is not None]


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: there is no such job file{_nearest_file(path)}; "
            "jobs/quickstart.yaml is one to start from"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a job file: {error}") from error
    try:
        document = read_yaml(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise InputError(
            f"{path}: holds a {type(document).__name__} where a job's fields are expected, such as "
            "'name:', 'model:' and 'data:'"
        )
    return document


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    names = [file.name for file in path.parent.glob("*.yaml")]
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {path.parent / near[0]}?)" if near else ""


def _apply(document: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"--set {override}: write it as field.field=value")
    try:
        value = read_yaml(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {override}: the value is not YAML: {error}") from error
    *parents, last = key.split(".")
    place = document
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise InputError(f"--set {override}: {parent} is a value and has no fields of its own")
    place[last] = value


def describe(error: ValidationError) -> str:
    """A validation error as one line: field, value and fix of each mistake."""
    return "; ".join(_mistake(item) for item in error.errors())


def _mistake(item: Any) -> str:
    location = item["loc"]
    field = ".".join(str(part) for part in location) or "the job"
    if item["type"] == "extra_forbidden":
        names = _fields_at(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), names, n=1)
        fix = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}"
        return f"{field} is not a field of a job ({fix})"
    if item["type"] == "missing":
        return f"{field} is missing: add it"
    message = item["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    value = item["input"]
    shown = "" if isinstance(value, dict) else f" (got {value!r})"
    return f"{field}: {message}{shown}"


def _fields_at(location: Sequence[Any]) -> list[str]:
    """The field names of the schema that a location within a job leads to."""
    schema: type[BaseModel] = Job
    for part in location:
        field = schema.model_fields.get(str(part))
        if field is None:
            return []
        arms = typing.get_args(field.annotation)
        found = arms if isinstance(field.annotation, UnionType) or arms else (field.annotation,)
        models = [arm for arm in found if isinstance(arm, type) and issubclass(arm, BaseModel)]
        if not models:
            return []
        schema = models[0]
    return list(schema.model_fields)


M = typing.TypeVar("M", bound=BaseModel)


def anchored(model: M, folder: Path) -> M:
    """The same model with every relative path taken from ``folder``."""
    changes: dict[str, object] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path):
            changes[name] = folder / value.expanduser()
        elif isinstance(value, BaseModel):
            changes[name] = anchored(value, folder)
    return model.model_copy(update=changes)
