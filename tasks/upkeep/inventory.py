"""What a store holds, and which cached result refers to what."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from schemas.artifact import ArtifactRef
from tasks.artifacts.backend import Entry
from tasks.artifacts.store import Store

OBJECTS, RESULTS = "objects", "results"
OBJECT = re.compile(r"^objects/([0-9a-f]{2})/(?P<digest>\1[0-9a-f]{62})(\.[a-z0-9]+)*$")
KEY_DIGEST = re.compile(r"-[0-9a-f]{64}$")


@dataclass(frozen=True)
class CachedResult:
    """What Prefect remembers of one run of a stage."""

    entry: Entry
    refs: tuple[ArtifactRef, ...]
    unreadable: str | None = None

    @property
    def key(self) -> str:
        return self.entry.key.removeprefix(f"{RESULTS}/")

    @property
    def task(self) -> str:
        """The stage's task: the key without the digest of what its result depends on."""
        return KEY_DIGEST.sub("", self.key)


def digest_in(key: str) -> str | None:
    """The digest that an object is named by; None where the file is not named like an object."""
    match = OBJECT.match(key)
    return match["digest"] if match else None


def cached_results(store: Store) -> Iterator[CachedResult]:
    """Every cached result, with the objects that it refers to."""
    for entry in store.backend.entries(RESULTS):
        try:
            record = json.loads(store.backend.read(entry.key))
            result = json.loads(record["result"])
            yield CachedResult(entry, tuple(_references(result)))
        except FileNotFoundError:
            if entry.link:
                yield CachedResult(entry, (), "is a link")
        except (ValueError, KeyError, TypeError) as error:
            yield CachedResult(entry, (), f"cannot be read: {error}")


def _references(value: Any) -> Iterator[ArtifactRef]:
    if isinstance(value, dict):
        if {"kind", "sha256", "path"} <= value.keys():
            try:
                yield ArtifactRef(**{name: value[name] for name in ("kind", "sha256", "path")})
            except ValidationError as error:
                raise ValueError("it holds something that is no reference") from error
            return
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
