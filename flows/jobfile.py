"""From a YAML file to a validated Job."""

import math
import re
import reprlib
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from flows.yaml_file import load_yaml, parse_yaml
from schemas.base import Strict, Target
from schemas.errors import InputError, nearest
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
        job = Job.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from error
    taken = job.model_dump()
    # The report keeps the job as JSON, which has no other numbers.
    for field, value in _not_finite(taken):
        raise InputError(f"{path}: {field} is {value}: give a finite number")
    for field in _yes_for_a_number(document, taken):
        raise InputError(f"{path}: {field} is yes or no: give a number")
    return job


def _yes_for_a_number(given: Any, taken: Any, *place: str) -> Iterator[str]:
    """The fields where the document has YAML's yes or no, which was taken for 1 or 0."""
    if isinstance(given, bool) and not isinstance(taken, bool):
        yield ".".join(place)
    elif isinstance(given, Mapping) and isinstance(taken, Mapping):
        for key in given.keys() & taken.keys():
            yield from _yes_for_a_number(given[key], taken[key], *place, str(key))
    elif isinstance(given, list) and isinstance(taken, list | tuple):
        for index, (one, other) in enumerate(zip(given, taken, strict=False)):
            yield from _yes_for_a_number(one, other, *place, str(index))


def _not_finite(value: Any, *place: str) -> Iterator[tuple[str, float]]:
    """The infinite numbers and NaN in a document, each with the field that it is in."""
    if isinstance(value, float) and not math.isfinite(value):
        yield ".".join(place), value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_finite(inner, *place, str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, *place, str(index))


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
        document = load_yaml(path, "job file")
    except FileNotFoundError as error:
        beside = [str(file) for file in path.parent.glob("[!.]*.yaml")]
        raise InputError(
            f"{path}: there is no such job file: "
            f"{nearest(str(path), beside, none='start from jobs/quickstart.yaml')}"
        ) from error
    if not isinstance(document, dict):
        what = "nothing" if document is None else f"a {type(document).__name__}"
        raise InputError(
            f"{path}: holds {what}: write a job's fields, as jobs/quickstart.yaml does"
        )
    return document


def _apply(document: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"--set {override}: write it as field.field=value")
    value = parse_yaml(text, f"--set {override}: the value")
    *parents, last = key.split(".")
    place = document
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise InputError(
                f"--set {override}: {parent} is a value and has no fields: set it alone"
            )
    place[last] = value


def describe(error: ValidationError) -> str:
    """A validation error as one line: field, value and fix of each mistake."""
    return "; ".join(_mistake(item) for item in error.errors())


def _mistake(item: Any) -> str:
    location = item["loc"]
    field = ".".join(str(part) for part in location) or "the job"
    if item["type"] == "extra_forbidden":
        hint = nearest(str(location[-1]), fields_at(Job, location[:-1]))
        return f"{field} is not a field of a job: {hint}"
    if item["type"] == "missing":
        return f"{field} is missing: add it"
    if item["type"] == "value_error":
        return f"{field}: {item['msg'].removeprefix('Value error, ')}"
    if item["type"] == "model_type":
        fields = ", ".join(fields_at(Job, location))
        return f"{field} is {reprlib.repr(item['input'])}: give it its fields ({fields})"
    if item["type"] == "tuple_type":
        return f"{field} is {reprlib.repr(item['input'])}: give {_list(location, item['input'])}"
    return f"{field} is {reprlib.repr(item['input'])}: {_wanted(item['msg'])}"


def _list(location: Sequence[Any], value: object) -> str:
    """What a list at that location of a job looks like, made of the one value given for it."""
    schema = _schema_at(Job, location[:-1])
    field = schema.model_fields.get(str(location[-1])) if schema else None
    kinds = () if field is None else (field.annotation, *typing.get_args(field.annotation))
    places = [typing.get_args(kind) for kind in kinds if typing.get_origin(kind) is tuple]
    count = 1 if not places or ... in places[0] else len(places[0])
    said = "a list" if count == 1 else f"a list of {count}"
    if isinstance(value, int | float) or (isinstance(value, str) and count == 1):
        return f"{said}, such as [{', '.join([str(value)] * count)}]"
    return said


def _wanted(message: str) -> str:
    """Pydantic's words for what a value should be, as what to do."""
    said = re.sub(r"^(Input|String|Tuple|Value) should ", "", message)
    if said == message:
        return f"correct it, {message[:1].lower()}{message[1:]}"
    if said.startswith("be "):
        compared = said.startswith(("be greater", "be less"))
        return f"give {'a number ' if compared else ''}{said[3:]}"
    return f"let it {said}"


def fields_at(schema: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """The field names of the schema that a location within ``schema`` leads to."""
    found = _schema_at(schema, location)
    return list(found.model_fields) if found else []


def _schema_at(schema: type[BaseModel], location: Sequence[Any]) -> type[BaseModel] | None:
    for part in location:
        field = schema.model_fields.get(str(part))
        if field is None:
            continue  # a place in a list, or a key of one's own
        inner = _model_in(field.annotation)
        if inner is None:
            return None
        schema = inner
    return schema


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation is, or holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = map(_model_in, typing.get_args(annotation))
    return next((model for model in found if model is not None), None)


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
