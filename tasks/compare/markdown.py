"""A comparison as a page of Markdown."""

from collections.abc import Iterable, Iterator, Sequence

from schemas.compare import Comparison, Figure
from tasks.compare.words import (
    difference_of,
    graph_lines,
    is_timed,
    layer_cells,
    layers_line,
    sections,
    value_of,
    verdict_of,
)

MOST_LAYERS = 40
"""Rows of a table of layers: Prefect's page shows all of it at once."""


def render(comparison: Comparison) -> str:
    """Cautions first, then what differs, then the figures, and each engine's graph and layers."""
    left, right = comparison.left, comparison.right
    names = (left.label, right.label)
    parts = [f"# {left.name} and {right.name}", f"- {verdict_of(left)}\n- {verdict_of(right)}"]
    parts += ["\n".join(f"> **{_plain(line)}**" for line in comparison.cautions)]
    for title, rows in sections(comparison):
        parts.append(f"## {title.capitalize()}\n\n" + _table((title, *names), rows))
    if not comparison.config:
        parts.append("The jobs are the same.")
    parts.append("## Accuracy\n\n" + _figures(comparison.accuracy, names))
    for engine in comparison.engines:
        header = ("ONNX nodes", *names, *(("share", "share") if is_timed(engine) else ()))
        cells = [layer_cells(x)[: len(header)] for x in engine.layers if not x.same][:MOST_LAYERS]
        parts += [
            f"## {engine.target}\n\n" + _figures(engine.figures, names),
            "\n".join(f"- {_plain(line)}" for line in graph_lines(engine)),
            layers_line(engine) + ".",
            _table(header, cells) if cells else "",
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(figures: Sequence[Figure], names: tuple[str, str]) -> str:
    rows = [(x.name, value_of(x, x.left), value_of(x, x.right), difference_of(x)) for x in figures]
    return _table(("figure", *names, "difference"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(_lines(header, rows))


def _lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(_plain(cell) for cell in header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(_plain(cell) for cell in row) + " |"


def _plain(cell: str) -> str:
    """Text that Markdown takes for nothing else."""
    for character in "\\|*_<`":
        cell = cell.replace(character, f"\\{character}")
    return cell
