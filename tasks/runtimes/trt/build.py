"""Building with either module: compile, and where a layer has no INT8 kernel, try without."""

import logging
import re
import tempfile
from pathlib import Path

from schemas.engine import LayerTable, TensorRtOptions
from tasks.runtimes.protocol import Build
from tasks.runtimes.trt import build_log, inspector
from tasks.runtimes.trt.compiler import Compiled, NoKernelError
from tasks.runtimes.trt.process import compile_in_process
from tasks.runtimes.trt.unquantize import quantized_nodes, unquantize

log = logging.getLogger("enginesmith")

_RANGE = re.compile(r"ForeignNode\[(?P<first>.+?)\.\.\.(?P<last>.+?)\]")


def build_plan(module: str, graph: Path, plan: Path, options: TensorRtOptions) -> Build:
    """Compile ``graph`` and write ``plan``; ``module`` is ``tensorrt`` or ``tensorrt_rtx``.

    A layer that the builder has no kernel for is left unquantized and the build tried again, at
    most ``options.retry_unquantized`` times; each is logged and named in the result.
    """
    left_float: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        source = graph
        while True:
            try:
                compiled = compile_in_process(module, source, plan, options)
                break
            except NoKernelError as error:
                nodes = nodes_of_layer(error.layer, quantized_nodes(source))
                if not nodes or len(left_float) + len(nodes) > options.retry_unquantized:
                    raise
                log.warning(
                    "no INT8 kernel for %s: trying again with it in float", ", ".join(nodes)
                )
                left_float += nodes
                source = unquantize(source, nodes, Path(folder) / graph.name)
    return Build(
        inputs=compiled.inputs,
        outputs=compiled.outputs,
        layers=_layers(compiled),
        build_s=compiled.build_s,
        peak_memory_bytes=compiled.peak_memory_bytes,
        unquantized_nodes=tuple(left_float),
    )


def nodes_of_layer(layer: str, quantized: list[str]) -> list[str]:
    """The quantized ONNX nodes that a builder's layer name speaks of, in the graph's order.

    Such a name lists nodes (``a + b``), or gives the first and last of a range
    (``{ForeignNode[a...b]}``).
    """
    span = _RANGE.search(layer)
    if span is None:
        parts = {part.strip() for part in re.split(r" \+ |, ", layer)}
        return [node for node in quantized if node in parts]
    first, last = span["first"], span["last"]
    if first in quantized and last in quantized:
        return quantized[quantized.index(first) : quantized.index(last) + 1]
    return [node for node in quantized if node in (first, last)]


def _layers(compiled: Compiled) -> LayerTable:
    if compiled.inspector_json:
        return inspector.layer_table(compiled.inspector_json)
    return build_log.layer_table(compiled.layer_log)
