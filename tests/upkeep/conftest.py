"""A store with a history, made without building anything."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.artifact import ArtifactRef
from tasks.artifacts.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def cache_result(store: Store) -> Callable[..., str]:
    """Writes what Prefect remembers of a stage that returned some references; gives its key."""

    def write(key: str, *refs: ArtifactRef) -> str:
        returned = {"__class__": "x", "data": [ref.model_dump(mode="json") for ref in refs]}
        record = {"metadata": {"storage_key": key}, "result": json.dumps(returned)}
        store.backend.write(f"results/{key}", json.dumps(record).encode())
        return key

    return write


@pytest.fixture
def age(store: Store) -> Callable[[float], None]:
    """Makes everything in the store so many days older."""

    def older(days: float) -> None:
        for file in store.root.rglob("*"):
            if file.is_file() and not file.is_symlink():
                then = time.time() - days * 86400
                os.utime(file, (then, then))

    return older
