"""From an ONNX file to a TensorRT plan. Runs in the worker process, with either module.

Networks are strongly typed: the graph's own Q/DQ and casts decide each precision, which is all
that TensorRT 11 knows and what TensorRT 10 and TensorRT for RTX can do as well.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from schemas.base import Strict
from schemas.engine import TensorInfo, TensorRtConfig, TensorRtOptions
from schemas.errors import InputError
from tasks.runtimes.gpu import gpu_fingerprint
from tasks.runtimes.trt.callbacks import BuildLog, logger, progress_monitor
from tasks.runtimes.trt.engine import inspector_json
from tasks.runtimes.trt.module import TensorRtModule, sizes
from tasks.runtimes.trt.settings import add_profiles, configure
from tasks.runtimes.trt.timings import Timings
from tasks.runtimes.trt.versions import is_rtx, network_flags

if TYPE_CHECKING:
    import tensorrt

_NO_KERNEL = re.compile(r"could not find any implementation for node (.+?)\.?\)?\s*$", re.I)
_MEMORY = re.compile(r"out of memory|OutOfMemory|insufficient (?:device |GPU )?memory", re.I)


class Compiled(Strict):
    """What the worker reports of a plan that it has written."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    layer_log: str = Field(description="the build log's own table of layers; empty: there is none")
    inspector_json: str = Field(
        description="the engine inspector's table; empty: it cannot load here"
    )
    build_s: float
    peak_memory_bytes: int | None = None


class NoKernelError(InputError):
    """The builder has no kernel for a layer of the graph; ``layer`` is its name for it."""

    def __init__(self, message: str, layer: str) -> None:
        super().__init__(message)
        self.layer = layer


def compile_plan(
    trt: TensorRtModule,
    graph: Path,
    plan: Path,
    options: TensorRtOptions,
    report: Callable[[float], None],
) -> Compiled:
    """Compile ``graph`` with the module ``trt`` and write ``plan``.

    ``report`` is called with the fraction done. Raises InputError naming the node where the parser
    or the builder refuses the graph, and NoKernelError where only a kernel is missing.
    """
    start = time.perf_counter()
    log = BuildLog()
    made_logger = logger(trt, log)
    builder = trt.Builder(made_logger)
    network = builder.create_network(network_flags(trt))
    parser = trt.OnnxParser(network, made_logger)
    if not parser.parse_from_file(str(graph)):
        raise InputError(_parser_error(parser, graph))
    config = builder.create_builder_config()
    configure(trt, config, options)
    add_profiles(trt, builder, network, config, options)
    gpu = {} if is_rtx(trt) else gpu_fingerprint()
    timings = Timings(trt, config, options, gpu) if options.timing_cache else None
    monitor = progress_monitor(trt, report)
    config.progress_monitor = monitor
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise _builder_error(trt, graph, log, needs_gpu=is_rtx(trt) and options.refit)
    if timings is not None:
        timings.save()
    blob = bytes(memoryview(serialized))
    plan.write_bytes(blob)
    host_code = isinstance(options, TensorRtConfig) and options.version_compatible
    return Compiled(
        inputs=tuple(_info(network.get_input(index)) for index in range(network.num_inputs)),
        outputs=tuple(_info(network.get_output(index)) for index in range(network.num_outputs)),
        layer_log=log.layers,
        inspector_json="" if is_rtx(trt) else inspector_json(trt, blob, log, host_code=host_code),
        build_s=time.perf_counter() - start,
    )


def _parser_error(parser: "tensorrt.OnnxParser", graph: Path) -> str:
    if parser.num_errors == 0:
        return f"the ONNX parser refuses {graph.name} and gives no reason: export it again"
    error = parser.get_error(0)
    node = f" at node {error.node_name()} ({error.node_operator()})" if error.node_name() else ""
    return (
        f"the ONNX parser refuses {graph.name}{node} ({error.desc()}): run enginesmith lint on it, "
        "and export it without that"
    )


def _builder_error(trt: TensorRtModule, graph: Path, log: BuildLog, needs_gpu: bool) -> InputError:
    for message in log.errors:
        match = _NO_KERNEL.search(message)
        if match:
            return NoKernelError(
                f"{trt.__name__} has no kernel for {match[1]} of {graph.name} ({message}): leave "
                "it in float, or raise retry_unquantized",
                match[1],
            )
    said = log.first_error()
    if any(_MEMORY.search(message) for message in log.errors):
        return InputError(
            f"{trt.__name__} ran out of GPU memory building {graph.name}: lower workspace_bytes "
            f"or the largest batch of the profile ({said})"
        )
    fix = "run enginesmith lint on it, or choose other options"
    if needs_gpu:
        fix = "leave refit out, which makes TensorRT for RTX compile on a GPU"
    elif "nvinfer_lean" in said:
        fix = "install TensorRT's lean runtime, or leave version_compatible out, which needs it"
    elif "FP32 GEMM is not supported" in said:
        fix = "give it the float16 or int8+fp16 graph, or a compute_capability from 8.0 on"
    return InputError(f"{trt.__name__} cannot build {graph.name} ({said}): {fix}")


def _info(tensor: "tensorrt.ITensor") -> TensorInfo:
    names = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
    dtype = tensor.dtype.name
    return TensorInfo(
        name=tensor.name, dtype=names.get(dtype, dtype.lower()), shape=sizes(tensor.shape)
    )
