"""``enginesmith inspect``: what a plan is made of."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.options import Compiler, Json
from flows.commands.output import console

if TYPE_CHECKING:
    from schemas.engine import Layer, LayerPair, LayerTable


def inspect(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PLAN", help="a plan, an ONNX file, or what TensorRT's inspector wrote (.json)"
        ),
    ],
    other: Annotated[
        Path | None, typer.Option("--vs", metavar="OTHER", help="a second one to set beside it")
    ] = None,
    engine: Annotated[
        Compiler,
        typer.Option(
            metavar="ENGINE",
            help="what an ONNX file is compiled with: openvino, tensorrt_rtx or tensorrt",
        ),
    ] = "openvino",
    profile: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="times of PLAN, from trtexec --exportProfile"),
    ] = None,
    other_profile: Annotated[
        Path | None, typer.Option("--vs-profile", metavar="JSON", help="times of OTHER")
    ] = None,
    calls: Annotated[
        int, typer.Option(min=0, help="inferences to time layers over, where the engine runs here")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Show a plan's layers: ONNX nodes, precisions, formats, times, and what should not be there.

    Examples:

        enginesmith inspect resnet18.plan --calls 100
        enginesmith inspect fp16-layers.json --vs int8-layers.json
    """
    from tasks.engine.compare import side_by_side
    from tasks.engine.layers import layers_of

    left = layers_of(path, target=engine, profile=profile, calls=calls)
    if other is None:
        if as_json:
            typer.echo(json.dumps({**_document(left), "summary": _facts(left)}))
        else:
            _print_table(left, str(path))
        return
    right = layers_of(other, target=engine, profile=other_profile, calls=calls)
    pairs = side_by_side(left, right)
    if as_json:
        document = {
            "left": {"path": str(path), "summary": _facts(left)},
            "right": {"path": str(other), "summary": _facts(right)},
            "pairs": [pair.model_dump(mode="json") for pair in pairs],
        }
        typer.echo(json.dumps(document))
    else:
        _print_pairs(pairs, (str(path), left), (str(other), right))


def _document(table: "LayerTable") -> dict[str, Any]:
    """The table with each layer's share of the time, where it was measured."""
    document = table.model_dump(mode="json")
    total = table.time_ms
    for layer, row in zip(table.layers, document["layers"], strict=True):
        timed = bool(total) and layer.time_ms is not None
        row["share"] = (layer.time_ms or 0.0) / (total or 1.0) if timed else None
    return document


def _facts(table: "LayerTable") -> dict[str, Any]:
    return {
        "source": table.source,
        "kernels": table.kernels,
        "integer_convolutions": len(table.integer_convolutions),
        "float_convolutions": [layer.name for layer in table.float_convolutions],
        "reformats": sum(layer.is_reformat for layer in table.layers),
        "leftover_qdq": sum(layer.is_qdq for layer in table.layers),
        "time_ms": table.time_ms,
    }


def _footer(table: "LayerTable") -> str:
    facts = _facts(table)
    unknown = sum(x.is_convolution and x.is_integer is None for x in table.layers)
    text = (
        f"{facts['kernels']} kernels; convolutions: {facts['integer_convolutions']} INT8, "
        f"{len(facts['float_convolutions'])} float"
    )
    text += f", {unknown} of unknown precision" if unknown else ""
    text += f"; {facts['reformats']} reformats; {facts['leftover_qdq']} leftover Q/DQ"
    return text + (f"; {facts['time_ms']:.3f} ms" if facts["time_ms"] is not None else "")


def _print_table(table: "LayerTable", title: str) -> None:
    from rich.table import Table

    total = table.time_ms
    columns = ["#", "type", "ONNX nodes", "in", "out", "format"]
    timed = ["ms", "share"] if total else []
    grid = Table(*columns, *timed, "flags", title=title, caption=_footer(table), box=None)
    for index, layer in enumerate(table.layers):
        row = [
            str(index),
            layer.type,
            _nodes(layer),
            "/".join(layer.input_dtypes[:2]),
            "/".join(layer.output_dtypes[:1]),
            _formats(layer),
        ]
        if total:
            row += [
                "" if layer.time_ms is None else f"{layer.time_ms:.4f}",
                "" if layer.time_ms is None else f"{layer.time_ms / total:.1%}",
            ]
        grid.add_row(*row, _flags(layer, bool(table.integer_convolutions)))
    console().print(grid)


def _print_pairs(
    pairs: tuple["LayerPair", ...], left: tuple[str, "LayerTable"], right: tuple[str, "LayerTable"]
) -> None:
    from rich.table import Table

    timed = left[1].time_ms is not None and right[1].time_ms is not None
    titles = ["ONNX nodes", left[0], right[0], *(["ms", "ms", "ratio"] if timed else [])]
    grid = Table(
        *titles,
        caption=f"{left[0]}: {_footer(left[1])}\n{right[0]}: {_footer(right[1])}",
        box=None,
    )
    for pair in pairs:
        names = pair.nodes or [f"({layer.name})" for layer in (*pair.left, *pair.right)]
        kinds = (_kinds(pair.left, left[1]), _kinds(pair.right, right[1]))
        row = ["\n".join(names), *kinds]
        if timed:
            ours, theirs = pair.left_ms, pair.right_ms
            row += [f"{x:.4f}" if x is not None else "" for x in (ours, theirs)]
            row.append(f"{theirs / ours:.2f}" if ours and theirs else "")
        grid.add_row(*row)
    console().print(grid)


def _kinds(layers: tuple["Layer", ...], table: "LayerTable") -> str:
    mixed = bool(table.integer_convolutions)
    return "\n".join(
        " ".join(filter(None, [x.type, "/".join(x.input_dtypes[:1]), _flags(x, mixed)]))
        for x in layers
    )


def _nodes(layer: "Layer") -> str:
    return "\n".join(layer.onnx_nodes) or f"({layer.name})"


def _formats(layer: "Layer") -> str:
    """Once, where it comes out as it went in."""
    came, goes = ("".join(x[:1]) for x in (layer.input_formats, layer.output_formats))
    return came if came == goes else f"{came or '-'} → {goes or '-'}"


def _flags(layer: "Layer", mixed: bool) -> str:
    """What to look at; a float convolution only where others run INT8."""
    flags = []
    if layer.is_reformat:
        flags.append("reformat")
    if layer.is_qdq:
        flags.append("leftover Q/DQ")
    if mixed and layer.is_convolution and layer.is_integer is False:
        flags.append("float conv")
    return ", ".join(flags)
