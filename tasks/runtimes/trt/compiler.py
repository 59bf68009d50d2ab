"""From an ONNX file to a TensorRT plan. Runs in the worker process, with either module.

Networks are strongly typed: the graph's own Q/DQ and casts decide each precision, which is all
that TensorRT 11 knows and what TensorRT 10 and TensorRT for RTX can do as well.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from schemas.base import Strict
from schemas.engine import TensorInfo, TensorRtConfig, TensorRtRtxConfig
from schemas.errors import InputError

Progress = Callable[[str, int, int], None]
"""Called with a phase's name, steps done and steps in all."""


class Compiled(Strict):
    """What the worker reports of a plan that it has written."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    layer_log: str = Field(description="the build log's own table of layers; empty: there is none")
    inspector_json: str = Field(default="", description="the engine inspector's; empty: no GPU")
    build_s: float
    peak_memory_bytes: int | None = None


@dataclass
class BuildLog:
    """What TensorRT says while it builds: the errors, and the last table of layers."""

    errors: list[str]
    layers: str = ""

    def add(self, severity: str, message: str) -> None:
        if severity in ("ERROR", "INTERNAL_ERROR"):
            self.errors.append(message)
        elif message.startswith("Layers:"):
            self.layers = message


def compile_plan(
    trt: Any, graph: Path, plan: Path, options: TensorRtConfig | TensorRtRtxConfig, report: Progress
) -> Compiled:
    """Compile ``graph`` with the module ``trt`` and write ``plan``.

    Raises InputError with the node's name where the parser or the builder refuses the graph.
    """
    start = time.perf_counter()
    log = BuildLog(errors=[])
    logger = _logger(trt, log)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        raise InputError(_parser_error(parser, graph))
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.progress_monitor = _monitor(trt, report)
    if isinstance(options, TensorRtRtxConfig):
        _set_compute_capability(trt, config, options.compute_capability)
    elif options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    _add_profile(builder, network, config, options.batch_sizes)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise InputError(f"{trt.__name__} cannot build {graph.name}: {_first(log.errors)}")
    plan.write_bytes(memoryview(serialized))
    return Compiled(
        inputs=tuple(_info(network.get_input(i)) for i in range(network.num_inputs)),
        outputs=tuple(_info(network.get_output(i)) for i in range(network.num_outputs)),
        layer_log=log.layers,
        build_s=time.perf_counter() - start,
    )


def _logger(trt: Any, log: BuildLog) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            log.add(severity.name, message)

    return Logger()


def _monitor(trt: Any, report: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:  # noqa: ARG002
            self.steps[phase] = steps
            report(phase, 0, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            report(phase, step + 1, self.steps.get(phase, 0))
            return True

        def phase_finish(self, phase: str) -> None:
            report(phase, self.steps.get(phase, 0), self.steps.get(phase, 0))

    return Monitor()


def _set_compute_capability(trt: Any, config: Any, capability: str) -> None:
    known = {name for name in dir(trt.ComputeCapability) if name.startswith("SM")}
    name = "SM" + capability.replace(".", "")
    if name not in known:
        spoken = ", ".join(sorted((f"{x[2:-1]}.{x[-1]}" for x in known), key=float))
        raise InputError(
            f"compute_capability {capability} is not one that {trt.__name__} {trt.__version__} "
            f"compiles for: choose one of {spoken}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, name), 0)


def _add_profile(builder: Any, network: Any, config: Any, batch: tuple[int, int, int]) -> None:
    """One optimization profile for the inputs whose first dimension is dynamic."""
    profile, used = builder.create_optimization_profile(), False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tuple(tensor.shape)
        if -1 not in shape:
            continue
        if -1 in shape[1:]:
            raise InputError(
                f"input {tensor.name} has dynamic dimensions besides its first: "
                "export the network with a fixed image size"
            )
        profile.set_shape(tensor.name, *((size, *shape[1:]) for size in batch))
        used = True
    if used:
        config.add_optimization_profile(profile)


def _parser_error(parser: Any, graph: Path) -> str:
    error = parser.get_error(0)
    node = f" at node {error.node_name()} ({error.node_operator()})" if error.node_name() else ""
    return f"the ONNX parser refuses {graph.name}{node}: {error.desc()}"


def _first(errors: list[str]) -> str:
    return errors[0] if errors else "the builder gave no reason"


def _info(tensor: Any) -> TensorInfo:
    names = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
    return TensorInfo(
        name=tensor.name,
        dtype=names.get(tensor.dtype.name, tensor.dtype.name.lower()),
        shape=tuple(tensor.shape),
    )
