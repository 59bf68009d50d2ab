"""YAML that comes from anywhere: plain values only, and no more of them than a job needs."""

from pathlib import Path
from typing import Any

import yaml

from schemas.errors import InputError, cause

MOST_CHARACTERS = 1_000_000
MOST_VALUES = 20_000
"""Aliases count as often as they stand for something: nine lines of them can mean a billion."""
DEEPEST = 50


class _Bounded(yaml.SafeLoader):
    """Refuses tags that make objects, as every safe loader does, and nesting without end."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"values are nested more than {DEEPEST} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # Of two equal keys PyYAML lets the last win without a word.
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        names = [key.value for key in keys]
        for place, key in enumerate(keys):
            if key.value in names[:place]:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} is there twice", problem_mark=key.start_mark
                )
        return super().construct_mapping(node, deep=deep)


def load_yaml(file: Path, kind: str) -> Any:
    """The document in a file, which ``kind`` names in messages.

    Raises InputError where it is not plain YAML in UTF-8, and leaves FileNotFoundError to the
    caller, who knows what else there is.
    """
    if file.exists() and not file.is_file():
        raise InputError(f"{file}: is not a file: name a {kind}")
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read as a {kind} ({error.strerror}): correct the path or its "
            "permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: cannot be read as a {kind} (byte {error.start} is not UTF-8): save it so"
        ) from error
    return parse_yaml(text, f"{file}:")


def parse_yaml(text: str, where: str) -> Any:
    """What ``read_yaml`` reads; raises InputError, opening with ``where``, where it does not."""
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or cause(error)
        raise InputError(f"{where} is not YAML{place} ({reason}): correct it there") from error


def read_yaml(text: str) -> Any:
    """The document's value.

    Raises yaml.YAMLError where it is no YAML, asks for anything but plain values, or is larger
    once its aliases are replaced by what they stand for than any job is.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"it has more than {MOST_CHARACTERS:,} characters")
    loader = _Bounded(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST_VALUES:
            raise yaml.YAMLError(f"it holds more than {MOST_VALUES:,} values")
        return loader.construct_document(node)
    except yaml.YAMLError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        # Such as a date of the 99th month, or a number too long to be read.
        raise yaml.YAMLError(f"a value cannot be read: {error}") from error
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int | None]) -> int:
    """How many values a node stands for; each alias counts as much as what it repeats."""
    place = id(node)
    if place in known:
        size = known[place]
        if size is None:
            raise yaml.YAMLError("a value contains itself")
        return size
    known[place] = None
    size = 1
    if isinstance(node, yaml.SequenceNode):
        size += sum(_size(each, known) for each in node.value)
    elif isinstance(node, yaml.MappingNode):
        size += sum(_size(key, known) + _size(each, known) for key, each in node.value)
    known[place] = size
    return size
