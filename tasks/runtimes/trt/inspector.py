"""The engine inspector's JSON, from TensorRT 8 to 11, as a table of layers.

Also what ``trtexec --exportLayerInfo`` writes, and with ``--exportProfile`` its times. Layers are
objects where the plan was built with detailed profiling verbosity, else bare names.
"""

import json
import re
from pathlib import Path
from typing import Any

from schemas.engine import Layer, LayerTable
from schemas.errors import InputError
from tasks.runtimes.trt.versions import (
    DTYPE_AND_FORMAT_KEYS,
    DTYPE_KEYS,
    FORMAT_KEYS,
    IO_KEYS,
)

_NODE = re.compile(r"\[ONNX Layer: (.*?)\](?=\s*[\x1e\x1f]?\s*\[ONNX|\s*$)")
_DTYPES = (
    (re.compile(r"\bint8\b", re.I), "int8"),
    (re.compile(r"\bfp8\b", re.I), "fp8"),
    (re.compile(r"\b(fp16|half)\b", re.I), "float16"),
    (re.compile(r"\b(bf16|bfloat16)\b", re.I), "bfloat16"),
    (re.compile(r"\b(fp32|float|float32)\b", re.I), "float32"),
    (re.compile(r"\bint32\b", re.I), "int32"),
    (re.compile(r"\bint64\b", re.I), "int64"),
    (re.compile(r"\bbool\b", re.I), "bool"),
)
_CONVOLUTION = re.compile(r"convolution|correlation|deconvolution", re.I)
_MATMUL = re.compile(r"matrixmultiply|gemm|gemv|fullyconnected|matmul", re.I)
# Where only names are known: PyTorch's exporter ends a node's name with its operator.
_CONVOLUTION_NAME = re.compile(r"(/|^|\b)Conv(Transpose)?(_\d+)?$")
_QDQ_NAME = re.compile(r"(Quantize|Dequantize)Linear(_\d+)?$")
_LATER_PROFILE = re.compile(r"\[profile [1-9]\d*\]")
_POINTWISE = re.compile(r"PWN\(|\)|,")


def layer_table(text: str, source: str = "TensorRT's engine inspector") -> LayerTable:
    """Parse the inspector's JSON. Raises InputError where it is something else."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{source} is not JSON ({error}): export it with trtexec again") from error
    layers = document.get("Layers") if isinstance(document, dict) else None
    if not isinstance(layers, list) or not any(key in document for key in IO_KEYS):
        raise InputError(
            f"{source} is no inspector JSON, without Layers and one of {', '.join(IO_KEYS)}: "
            "export it with trtexec --exportLayerInfo"
        )
    try:
        # Kernels of further optimization profiles are listed as well, under names that say so.
        layers = [x for x in layers if not _LATER_PROFILE.search(_name(x))]
        rows = [_by_name(x) if isinstance(x, str) else _detailed(x) for x in layers]
    except (AttributeError, TypeError) as error:
        raise InputError(
            f"{source} has layers that are no layers ({error}): export it with trtexec again"
        ) from error
    # The network's own first Q and last DQ are due; without its graph their place must tell.
    rows[1:-1] = [x.model_copy(update={"is_qdq": _is_qdq(x)}) for x in rows[1:-1]]
    return LayerTable(source=source, layers=tuple(rows))


def with_times(table: LayerTable, profile: str, source: str) -> LayerTable:
    """The table with each layer's median time in ms, from ``trtexec --exportProfile``.

    Raises InputError where the text is something else, or of another plan.
    """
    try:
        rows = {row["name"]: row for row in json.loads(profile) if "name" in row}
        times = {
            name: float(row["medianMs"] if "medianMs" in row else row["averageMs"])
            for name, row in rows.items()
        }
    except (json.JSONDecodeError, TypeError, KeyError, ValueError) as error:
        raise InputError(
            f"{source} is no profile: write one with trtexec --exportProfile"
        ) from error
    known = {layer.name for layer in table.layers}
    if not known & times.keys():
        raise InputError(
            f"{source} shares no layer with {table.source}: give the profile of the same plan"
        )
    layers = (x.model_copy(update={"time_ms": times.get(x.name)}) for x in table.layers)
    return table.model_copy(update={"layers": tuple(layers)})


def _name(row: Any) -> str:
    return row if isinstance(row, str) else str(row.get("Name", ""))


def _detailed(row: dict[str, Any]) -> Layer:
    name, kind = str(row.get("Name", "")), str(row.get("LayerType", ""))
    inputs, outputs = row.get("Inputs") or [], row.get("Outputs") or []
    nodes = tuple(dict.fromkeys(_NODE.findall(str(row.get("Metadata", "")))))
    # A conv that was fused is of its carrier's type, and says so in its parameters.
    parameters = str(row.get("ParameterType", ""))
    input_dtypes = tuple(_dtype(tensor) for tensor in inputs)
    return Layer(
        name=name,
        type=kind,
        onnx_nodes=nodes or _nodes_in(name),
        input_dtypes=input_dtypes,
        output_dtypes=tuple(_dtype(tensor) for tensor in outputs),
        input_formats=tuple(_format(tensor) for tensor in inputs),
        output_formats=tuple(_format(tensor) for tensor in outputs),
        tactic=str(row.get("TacticName", "")),
        is_convolution=bool(_CONVOLUTION.search(kind) or _CONVOLUTION.search(parameters)),
        is_matmul=bool(_MATMUL.search(kind) or _MATMUL.search(parameters)),
        is_integer=bool(input_dtypes) and input_dtypes[0] == "int8",
        is_reformat=kind in ("Reformat", "NoOp") or _is_reformat(name),
    )


def _by_name(name: str) -> Layer:
    """A layer of which nothing but the name is known: no precisions."""
    nodes = _nodes_in(name)
    return Layer(
        name=name,
        type="Reformat" if _is_reformat(name) else "unknown",
        onnx_nodes=() if _is_reformat(name) else nodes,
        is_convolution=any(_CONVOLUTION_NAME.search(node) for node in nodes)
        and not _is_reformat(name),
        is_reformat=_is_reformat(name),
        is_integer=None,
    )


def _is_qdq(layer: Layer) -> bool:
    last_words = [node.rsplit("/", 1)[-1] for node in layer.onnx_nodes]
    return bool(last_words) and all(_QDQ_NAME.match(word) for word in last_words)


def _is_reformat(name: str) -> bool:
    return name.startswith("Reformatting CopyNode")


def _nodes_in(name: str) -> tuple[str, ...]:
    """The ONNX nodes that a fused layer's name lists, as in ``a + b`` or ``PWN(a, PWN(b))``."""
    if _is_reformat(name):
        return ()
    parts = (part.strip() for part in re.split(r" \+ |, ", name))
    return tuple(dict.fromkeys(_POINTWISE.sub("", part).strip() for part in parts if part))


def _dtype(tensor: dict[str, Any]) -> str:
    for key in (*DTYPE_KEYS, *DTYPE_AND_FORMAT_KEYS):
        if key in tensor:
            for pattern, dtype in _DTYPES:
                if pattern.search(str(tensor[key])):
                    return dtype
            return str(tensor[key]).lower()
    return "unknown"


def _format(tensor: dict[str, Any]) -> str:
    for key in (*FORMAT_KEYS, *DTYPE_AND_FORMAT_KEYS):
        if key in tensor:
            return str(tensor[key])
    return ""


def read(path: Path, profile: Path | None = None) -> LayerTable:
    """The table in a JSON file, with the times of a profile beside it if one is given."""
    table = layer_table(path.read_text(errors="replace"), source=path.name)
    if profile is not None:
        table = with_times(table, profile.read_text(errors="replace"), profile.name)
    return table
