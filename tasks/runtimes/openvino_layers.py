"""The layers that OpenVINO really runs, read from a compiled model's runtime model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.engine import Layer, LayerTable
from tasks.runtimes.onnx_names import OnnxNames

# No kernels: they hold data or mark the graph's ends.
_NOT_EXECUTED = {"Const", "Input", "Output"}
_CONVOLUTIONS = {"Convolution", "GroupConvolution", "Deconvolution"}
_MATMULS = {"FullyConnected", "MatMul"}
_REFORMATS = {"Reorder", "Convert"}
_INTEGER = {"int8", "uint8"}
_DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "uint8"}


def layer_table(runtime_model: Any, graph: Path | None = None) -> LayerTable:
    """Executed layers of ``CompiledModel.get_runtime_model()``, in order.

    ``graph`` is the ONNX file that was compiled; with it layers are traced to ONNX nodes.
    """
    names = OnnxNames.of(graph) if graph else None
    rows = []
    for op in runtime_model.get_ordered_ops():
        info = _info(op)
        kind = info.get("layerType", op.get_type_name())
        if kind in _NOT_EXECUTED:
            continue
        originals = [name for name in info.get("originalLayersNames", "").split(",") if name]
        inputs = tuple(_dtype(port.get_element_type()) for port in op.inputs())
        rows.append(
            Layer(
                name=op.get_friendly_name(),
                type=kind,
                onnx_nodes=names.trace(originals) if names else tuple(originals),
                input_dtypes=inputs,
                output_dtypes=tuple(_dtype(port.get_element_type()) for port in op.outputs()),
                input_formats=tuple(_input_formats(op)),
                output_formats=_formats(info),
                tactic=info.get("primitiveType", ""),
                is_reformat=kind in _REFORMATS,
                is_convolution=kind in _CONVOLUTIONS,
                is_matmul=kind in _MATMULS,
                is_integer=bool(inputs) and inputs[0] in _INTEGER,
            )
        )
    return LayerTable(source="OpenVINO's runtime model", layers=tuple(rows))


def _info(op: Any) -> dict[str, str]:
    return {key: _text(value) for key, value in op.get_rt_info().items()}


def _formats(info: dict[str, str]) -> tuple[str, ...]:
    """oneDNN's words: dimensions a, b, c... in the order of memory, so "acdb" is NHWC."""
    return tuple(x for x in info.get("outputLayouts", "").split(",") if x)


def _input_formats(op: Any) -> Iterator[str]:
    """Of each input, as what makes it says; empty where that is not told."""
    for port in op.inputs():
        source = port.get_source_output()
        formats, index = _formats(_info(source.get_node())), source.get_index()
        yield formats[index] if index < len(formats) else ""


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))


def _dtype(element: Any) -> str:
    name = str(element.get_type_name())
    return _DTYPES.get(name, name)
