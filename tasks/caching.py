"""The one cache policy: when a stage's earlier result may stand in for running it.

A key covers the stage's name, the digest of its source folder and of the shared rooms it uses, its
parameters, and the versions it computes with. A result is a handful of references; it counts only
if every file that it points to is still what its digest says.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer
from pydantic import BaseModel, Field

from schemas.artifact import ArtifactRef
from schemas.data import DataRef
from schemas.errors import InputError
from tasks.artifacts.store import current_store
from tasks.versions import version_of

P = ParamSpec("P")
R = TypeVar("R")

TASKS = Path(__file__).parent

LIMIT_TAG = "limit:"
"""A task tagged ``limit:gpu`` holds a slot of the server's concurrency limit ``gpu``."""
LEASE_S = 60.0
"""How long the slot of a killed holder stays taken; a living one renews its lease."""


def references(value: object) -> Iterator[ArtifactRef]:
    """Every artifact reference inside a stage's result."""
    if isinstance(value, ArtifactRef):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from references(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from references(item)


class VerifiedJson(JSONSerializer):
    """JSON whose artifact references are checked against the store when it is read.

    Prefect takes a record that fails to load for one that is not there, and runs the task again.
    """

    type: str = Field(default="verified-json", frozen=True)

    def loads(self, blob: bytes) -> Any:
        value = super().loads(blob)
        store = current_store()
        for ref in references(value):
            store.open(ref)
        return value


@cache
def source_digest(*folders: str) -> str:
    """Hex SHA-256 over the source in some folders of ``tasks``: Python, templates and the like."""
    digest = hashlib.sha256()
    for folder in sorted(folders):
        files = (f for f in (TASKS / folder).rglob("*.*") if f.suffix != ".pyc" and f.is_file())
        for file in sorted(files):
            digest.update(file.relative_to(TASKS).as_posix().encode() + b"\0")
            digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def identity(value: object) -> object:
    """A parameter as JSON, without what does not change a result: where a dataset lies."""
    if isinstance(value, DataRef):
        return value.identity()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [identity(item) for item in value]
    return value


def _its_limit() -> AbstractContextManager[None]:
    """The slot that this task run's tag asks for, held from here on.

    Not Prefect's tag limit: that one is taken by cached results as well, never expires when its
    holder is killed, and is unlimited where nobody has made it. Raises InputError where it is not.
    """
    context = TaskRunContext.get()
    tags = context.task_run.tags if context else []
    names = [tag.removeprefix(LIMIT_TAG) for tag in tags if tag.startswith(LIMIT_TAG)]
    return _slots(names) if names else nullcontext()


@contextmanager
def _slots(names: list[str]) -> Iterator[None]:
    from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
    from prefect.concurrency.sync import concurrency

    with ExitStack() as held:
        try:
            held.enter_context(concurrency(names, strict=True, lease_duration=LEASE_S))
        except ConcurrencySlotAcquisitionError as error:
            raise InputError(
                f"the Prefect server has no concurrency limit {', '.join(names)}, so that two runs "
                "could measure each other: run `enginesmith deploy`"
            ) from error
        yield


_MATERIALS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def _key(name: str, material: dict[str, Any]) -> str:
    text = json.dumps({"task": name, **material}, sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()}"


def origin(name: str, parameters: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """What the result of the task ``name`` depends on, and the key it is cached under.

    Of a task that is never cached, only its parameters, and no key.
    """
    if name not in _MATERIALS:
        return {"parameters": {key: identity(value) for key, value in parameters.items()}}, None
    material = _MATERIALS[name](parameters)
    return material, _key(name, material)


def stage(
    name: str,
    *,
    rooms: Iterable[str] = (),
    versions: Iterable[str] = (),
    fingerprint: Callable[[dict[str, Any]], dict[str, str]] | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A Prefect task that is cached by everything its result depends on.

    ``rooms`` are the shared folders of ``tasks`` whose code it runs, ``versions`` the packages it
    computes with, and ``fingerprint`` gives what else counts, from the parameters.
    """
    folders = (name, *rooms)
    packages = tuple(versions)

    def material(parameters: dict[str, Any]) -> dict[str, Any]:
        return {
            "source": source_digest(*folders),
            "parameters": {key: identity(value) for key, value in parameters.items()},
            "versions": {package: version_of(package) for package in packages},
            "fingerprint": fingerprint(parameters) if fingerprint else {},
        }

    def key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
        return _key(context.task.name, material(parameters))

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        @functools.wraps(function)
        def alone(*args: P.args, **kwargs: P.kwargs) -> R:
            with _its_limit():
                return function(*args, **kwargs)

        _MATERIALS[function.__name__] = material
        return task(
            name=function.__name__,
            task_run_name=function.__name__,
            cache_policy=CacheKeyFnPolicy(cache_key_fn=key),
            persist_result=True,
            result_serializer=VerifiedJson(),
        )(alone)

    return decorate
