"""What is used of the module ``tensorrt`` or ``tensorrt_rtx``, as a type.

The types come from the package ``tensorrt-stubs``, which describes TensorRT 10.13; nothing is
imported when the program runs.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import tensorrt as trt


class TensorRtModule(Protocol):
    """The module that is passed around instead of being imported."""

    __name__: str
    Builder: type["trt.Builder"]
    Dims: type["trt.Dims"]
    BuilderFlag: type["trt.BuilderFlag"]
    EngineInspector: type["trt.EngineInspector"]
    HardwareCompatibilityLevel: type["trt.HardwareCompatibilityLevel"]
    ILogger: type["trt.ILogger"]
    IProgressMonitor: type["trt.IProgressMonitor"]
    LayerInformationFormat: type["trt.LayerInformationFormat"]
    MemoryPoolType: type["trt.MemoryPoolType"]
    NetworkDefinitionCreationFlag: type["trt.NetworkDefinitionCreationFlag"]
    OnnxParser: type["trt.OnnxParser"]
    ProfilingVerbosity: type["trt.ProfilingVerbosity"]
    Runtime: type["trt.Runtime"]


def name_and_version(module: TensorRtModule) -> str:
    """Such as ``tensorrt 10.13.2``, for messages."""
    return f"{module.__name__} {version(module)}"


def version(module: TensorRtModule) -> str:
    # Type checkers see no names with a leading underscore in a module that stands for a protocol.
    return str(vars(module)["__version__"])


def sizes(dims: "trt.Dims") -> tuple[int, ...]:
    """A shape as plain numbers; -1 stands for a dynamic dimension."""
    return tuple(int(dims[index]) for index in range(len(dims)))
