"""What a stage depended on and what it made, as flat names and values that can be compared."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas.history import StageRecord

SHA256 = re.compile(r"^[0-9a-f]{64}$")


def flatten(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested parameters as dotted names and text.

    An artifact reference is its digest: where it lies and what it is called follow from it.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        if {"kind", "sha256", "path"} == set(value):
            yield name or "result", value["sha256"]
            return
        for key, item in value.items():
            yield from flatten(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from flatten(item, f"{name}.{place}" if name else str(place))
    elif value is not None:
        yield name or "result", value.as_posix() if isinstance(value, Path) else str(value)


def digests(values: dict[str, str]) -> set[str]:
    """The values that are SHA-256 digests."""
    return {value for value in values.values() if SHA256.match(value)}


def stage_record(
    name: str,
    stage: str,
    *,
    material: dict[str, Any],
    key: str | None,
    cached: bool,
    result: object,
) -> StageRecord:
    """Put down one stage; ``material`` is what its result depends on."""
    inputs = dict(flatten({k: v for k, v in material.items() if k != "parameters"}))
    inputs |= dict(flatten(material.get("parameters", {})))
    return StageRecord(
        name=name,
        stage=stage,
        key=key,
        cached=cached,
        inputs=inputs,
        outputs=dict(flatten(result)),
    )
