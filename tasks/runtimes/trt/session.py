"""Running a plan on the GPU: a TensorRT execution context for each stream of a CUDA session."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

from schemas.engine import ShapeRange, TensorInfo
from schemas.errors import InputError
from tasks.runtimes.batches import holds
from tasks.runtimes.cuda.executor import Stream
from tasks.runtimes.cuda.session import CudaSession
from tasks.runtimes.trt.engine import load
from tasks.runtimes.trt.module import TensorRtModule, sizes

if TYPE_CHECKING:
    import tensorrt


class PlanExecutor:
    """One execution context: one stream, one shape; see ``Executor``.

    Of several optimization profiles it takes the first that holds the shape.
    """

    def __init__(
        self,
        engine: "tensorrt.ICudaEngine",
        names: tuple[str, str],
        profiles: tuple[ShapeRange, ...],
    ) -> None:
        self._context = engine.create_execution_context()
        if self._context is None:
            raise InputError("the plan does not fit into the GPU's memory: free some")
        self._input, self._output = names
        self._profiles = profiles
        self._profile = 0

    def bind(self, shape: tuple[int, ...], input_address: int, output_address: int) -> None:
        self._profile = next(
            (i for i, limits in enumerate(self._profiles) if holds(limits, shape)), 0
        )
        self._shape, self._addresses = shape, (input_address, output_address)
        self._bound = False

    def enqueue(self, stream: Stream) -> None:
        if not self._bound:
            # Choosing a profile is work for the stream, which binding has not.
            if self._profile:
                self._context.set_optimization_profile_async(self._profile, stream.handle)
            self._context.set_input_shape(self._input, self._shape)
            self._context.set_tensor_address(self._input, self._addresses[0])
            self._context.set_tensor_address(self._output, self._addresses[1])
            self._bound = True
        if not self._context.execute_async_v3(stream.handle):
            raise InputError(
                f"the GPU refused to run the plan on images of shape {self._shape}: run again with "
                "CUDA_LAUNCH_BLOCKING=1 and look at the lines above"
            )


def open_plan(
    module: str, plan: Path, *, graphs: bool = True, host_code: bool = False
) -> CudaSession:
    """A plan of ``tensorrt`` or ``tensorrt_rtx``, loaded; ``host_code`` as in ``load``.

    Raises InputError, in one line, where it cannot run here, or has not one input and one output.
    """
    trt = cast(TensorRtModule, importlib.import_module(module))
    return session_of(load(trt, plan, host_code=host_code), plan.name, graphs=graphs)


def session_of(engine: "tensorrt.ICudaEngine", name: str, *, graphs: bool) -> CudaSession:
    """A loaded engine as a session; ``name`` is the plan's, for messages."""
    tensors = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [t for t in tensors if engine.get_tensor_mode(t).name == "INPUT"]
    outputs = [t for t in tensors if t not in inputs]
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            f"{name} has {len(inputs)} inputs and {len(outputs)} outputs: build it from a graph "
            "with one of each, images in and logits out"
        )
    names = (inputs[0], outputs[0])
    images, logits = (_info(engine, tensor) for tensor in names)
    profiles: tuple[ShapeRange, ...] = ()
    if -1 in images.shape:
        profiles = tuple(
            _range(engine, names[0], index) for index in range(engine.num_optimization_profiles)
        )
    return CudaSession(
        lambda: PlanExecutor(engine, names, profiles),
        images,
        logits,
        limits=profiles,
        graphs=graphs,
    )


_DTYPES = {"FLOAT": "float32", "HALF": "float16"}


def _info(engine: "tensorrt.ICudaEngine", tensor: str) -> TensorInfo:
    kind = engine.get_tensor_dtype(tensor).name
    if kind not in _DTYPES:
        raise InputError(
            f"tensor {tensor} of the plan is {kind}, and images and logits are to be float: build "
            "it from a graph whose ends are float32 or float16"
        )
    return TensorInfo(
        name=tensor, dtype=_DTYPES[kind], shape=sizes(engine.get_tensor_shape(tensor))
    )


def _range(engine: "tensorrt.ICudaEngine", tensor: str, profile: int) -> ShapeRange:
    smallest, usual, largest = engine.get_tensor_profile_shape(tensor, profile)
    return ShapeRange(min=sizes(smallest), opt=sizes(usual), max=sizes(largest))
