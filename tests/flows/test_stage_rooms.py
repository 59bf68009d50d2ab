"""A stage's cache key covers all the code that it runs."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

import tasks
from flows.build import Stage

TASKS = Path(tasks.__file__).parent
SHARED = {"artifacts", "models", "datasets", "runtimes"}


def rooms_imported_by(folder: str) -> set[str]:
    """The shared rooms that the modules of a folder of ``tasks`` import, also through others."""
    found: set[str] = set()
    for file in (TASKS / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                part = re.match(r"tasks\.(\w+)", node.module)
                if part and part[1] in SHARED - {folder}:
                    found.add(part[1])
    return found


def rooms_declared_by(stage: str) -> set[str]:
    """The union over the stage's tasks of what they name in ``rooms=``."""
    declared: set[str] = set()
    source = (TASKS / stage / "task.py").read_text(encoding="utf-8")
    for rooms in re.findall(r"(?:rooms=|ROOMS = )\(([^)]*)\)", source):
        declared |= set(re.findall(r'"(\w+)"', rooms))
    return declared


@pytest.mark.parametrize("stage", get_args(Stage))
def test_a_stage_declares_the_rooms_that_it_imports(stage: str) -> None:
    assert rooms_imported_by(stage) <= rooms_declared_by(stage)
