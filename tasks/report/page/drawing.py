"""A graph as a picture: where data is quantized, and what runs on integers.

Only the way of the data is drawn, from left to right; weights, biases and scales are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

import fast_sugiyama
import onnx

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
MOST_NODES = 2500
BOX_WIDTH, BOX_HEIGHT = 84, 22
COLUMN, ROW = 108, 34
MARGIN = 12
SHORT = {"QuantizeLinear": "Q", "DequantizeLinear": "DQ", "GlobalAveragePool": "GlobalAvgPool"}
"""What does not fit its box."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """One node on the way of the data."""

    op: str
    name: str
    kind: str
    """The box's class in the style sheet: q, dq, int8, float or other."""


def draw(graph_file: Path, label: str) -> str | None:
    """A graph as SVG; ``label`` says what it shows to those who do not see it.

    None where there are more nodes than anyone would look at, or none at all.
    """
    boxes, edges = read(onnx.load(graph_file, load_external_data=False).graph)
    if not edges or len(boxes) > MOST_NODES:
        return None
    places, ways, width, height = _lay_out(edges)
    parts = [
        f'<svg class="graph" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" data-width="{width:.0f}">'
    ]
    parts += [f'<path d="{_path(way)}"/>' for way in ways]
    parts += [_box(box, places[index]) for index, box in enumerate(boxes) if index in places]
    return "".join([*parts, "</svg>"])


def read(graph: onnx.GraphProto) -> tuple[list[Box], list[tuple[int, int]]]:
    """The nodes that data flows through, and which gives to which, by index."""
    producers: dict[str, int] = {}
    flowing = {value.name for value in graph.input} - {value.name for value in graph.initializer}
    operators: dict[str, str] = dict.fromkeys(flowing, "")
    boxes: list[Box] = []
    edges: list[tuple[int, int]] = []
    for node in graph.node:
        sources = [name for name in node.input if name in operators]
        if not sources:
            continue
        index = len(boxes)
        boxes.append(Box(node.op_type, node.name, _kind(node.op_type, operators[sources[0]])))
        edges += [(producers[name], index) for name in sources if name in producers]
        for name in node.output:
            producers[name] = index
            operators[name] = node.op_type
    return boxes, edges


def _kind(op: str, fed_by: str) -> str:
    if op == "QuantizeLinear":
        return "q"
    if op == "DequantizeLinear":
        return "dq"
    if op in WEIGHTED:
        return "int8" if fed_by == "DequantizeLinear" else "float"
    return "other"


def _lay_out(
    edges: list[tuple[int, int]],
) -> tuple[dict[int, Point], list[list[Point]], float, float]:
    """Where each node's left upper corner is, the points of each edge, and the picture's size.

    The layout is Sugiyama's, made for top to bottom: its axes are exchanged.
    """
    places: dict[int, Point] = {}
    ways: list[list[Point]] = []
    real = {index for edge in edges for index in edge}
    top = MARGIN
    for positions, _, _, routed in fast_sugiyama.from_edges(edges, dummy_vertices=True):
        raw: dict[int, Point] = {int(index): (y, x) for index, (x, y) in positions}
        links = [(int(start), int(end)) for start, end in routed or edges]
        levels = {level: i for i, level in enumerate(sorted({at[0] for at in raw.values()}))}
        if _runs_backwards(raw, links):
            levels = {level: len(levels) - 1 - i for level, i in levels.items()}
        rows = {row: i for i, row in enumerate(sorted({at[1] for at in raw.values()}))}
        part: dict[int, Point] = {
            index: (MARGIN + levels[at[0]] * COLUMN, top + rows[at[1]] * ROW)
            for index, at in raw.items()
        }
        places |= part
        ways += list(_ways(links, part, real))
        top += len(rows) * ROW + MARGIN
    width = max(x for x, _ in places.values()) + BOX_WIDTH + MARGIN
    return places, ways, width, float(top)


def _runs_backwards(raw: dict[int, Point], links: list[tuple[int, int]]) -> bool:
    start, end = links[0]
    return raw[start][0] > raw[end][0]


def _ways(
    links: list[tuple[int, int]], places: dict[int, Point], real: set[int]
) -> Iterator[list[Point]]:
    """Each edge from node to node, by way of the bends that the layout put in."""
    following: dict[int, int] = {start: end for start, end in links if start not in real}
    for start, end in links:
        if start not in real:
            continue
        way = [start, end]
        while way[-1] not in real:
            way.append(following[way[-1]])
        yield [places[index] for index in way]


def _path(way: list[Point]) -> str:
    """An SVG path through the middles of a way's points, leaving out those on a straight line."""
    middle = BOX_HEIGHT / 2
    (x, y), *between, (last_x, last_y) = way
    points = [(x + BOX_WIDTH, y + middle)]
    for i, (px, py) in enumerate(between):
        before = way[i][1]
        after = way[i + 2][1]
        if not before == py == after:
            points += [(px, py + middle), (px + BOX_WIDTH, py + middle)]
    points.append((last_x, last_y + middle))
    text = [f"M{points[0][0]:.0f} {points[0][1]:.0f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (x0 + x1) / 2
        text.append(
            f"L{x1:.0f} {y1:.0f}"
            if y0 == y1
            else f"C{half:.0f} {y0:.0f} {half:.0f} {y1:.0f} {x1:.0f} {y1:.0f}"
        )
    return "".join(text)


def _box(box: Box, at: Point) -> str:
    x, y = at
    name = escape(f"{box.op} {box.name}".strip())
    return (
        f'<g class="{box.kind}"><title>{name}</title>'
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="4"/>'
        f'<text x="{x + BOX_WIDTH / 2:.0f}" y="{y + 15:.0f}">'
        f"{escape(SHORT.get(box.op, box.op)[:14])}</text></g>"
    )
