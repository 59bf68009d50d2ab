"""Loading a plan onto the GPU, and asking it what it is made of."""

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, cast

from schemas.engine import LayerTable
from schemas.errors import InputError
from tasks.runtimes.gpu import find_gpu
from tasks.runtimes.trt.callbacks import BuildLog, logger
from tasks.runtimes.trt.inspector import layer_table
from tasks.runtimes.trt.module import TensorRtModule, name_and_version
from tasks.runtimes.trt.versions import validity

if TYPE_CHECKING:
    import tensorrt

# What TensorRT for RTX finds wrong with a plan's header, and what to do about it.
_REASONS = {
    "VERSION_MISMATCH": "it was built by another version: build it again",
    "UNSUPPORTED_CC": "it was built for another GPU generation: build it for this one",
    "OLD_CUDA_DRIVER": "the GPU driver is too old: update it",
    "OLD_CUDA_RUNTIME": "the CUDA runtime is too old: update it",
    "INSUFFICIENT_GPU_MEMORY": "the GPU's memory is full: free some",
    "MALFORMED_ENGINE": "it is truncated or no plan of this library: build it again",
    "CUDA_ERROR": "CUDA does not work here: check the GPU and its driver with nvidia-smi",
}


def load(trt: TensorRtModule, plan: Path, *, host_code: bool = False) -> "tensorrt.ICudaEngine":
    """The engine of a plan. Raises InputError, in one line, where it cannot run here.

    ``host_code``: the plan may run code that it brings for the CPU, which a version-compatible one
    has to: TensorRT's lean runtime is in it. TensorRT refuses that unless it is told otherwise.
    """
    log = BuildLog()
    runtime = _runtime(trt, log, host_code=host_code)
    blob = plan.read_bytes()
    valid, reasons = validity(trt, runtime, blob)
    if not valid:
        raise InputError(_refusal(trt, plan, reasons, log))
    engine = runtime.deserialize_cuda_engine(blob)
    if engine is None:
        raise InputError(_refusal(trt, plan, [], log))
    return engine


def inspector_json(
    trt: TensorRtModule, blob: bytes, log: BuildLog, *, host_code: bool = False
) -> str:
    """The engine inspector's JSON of a plan; empty where it cannot be loaded."""
    runtime = _runtime(trt, log, host_code=host_code)
    engine = runtime.deserialize_cuda_engine(blob)
    if engine is None:
        return ""
    inspector = engine.create_engine_inspector()
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def _runtime(trt: TensorRtModule, log: BuildLog, *, host_code: bool) -> "tensorrt.Runtime":
    runtime = trt.Runtime(logger(trt, log))
    if host_code:
        runtime.engine_host_code_allowed = True
    return runtime


def layers_on_gpu(plan: Path, *, host_code: bool = False) -> LayerTable:
    """What the engine inspector says of a plan that has no table of layers beside it.

    Raises InputError where no TensorRT that is installed here can load it.
    """
    if find_gpu() is None:
        raise InputError(
            f"{plan} has no table of layers {plan.name}.layers.json beside it, and without its GPU "
            "a plan of TensorRT cannot be read: copy the table too, or build the plan again"
        )
    refusals = []
    for name in ("tensorrt", "tensorrt_rtx"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue  # not there, or its type stubs alone
        trt = cast(TensorRtModule, importlib.import_module(name))
        try:
            inspector = load(trt, plan, host_code=host_code).create_engine_inspector()
            text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
            return layer_table(str(text))
        except InputError as error:
            refusals.append(str(error))
    raise InputError(
        f"{plan} cannot be read here ({'; '.join(refusals) or 'TensorRT is not installed'}): copy "
        f"its {plan.name}.layers.json beside it, or build the plan again"
    )


def _refusal(trt: TensorRtModule, plan: Path, reasons: list[str], log: BuildLog) -> str:
    for reason in reasons:
        # TensorRT for RTX reports a GPU that is not there as a driver that is too old.
        if reason in _REASONS:
            return f"{name_and_version(trt)} cannot run {plan.name}: {_REASONS[reason]}"
    return f"{name_and_version(trt)} cannot load {plan.name} ({log.first_error()}): build it again"
