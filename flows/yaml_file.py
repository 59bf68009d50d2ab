"""YAML that comes from anywhere: plain values only, and no more of them than a job needs."""

from typing import Any

import yaml

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
