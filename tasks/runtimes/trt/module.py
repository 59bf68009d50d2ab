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
    __version__: str
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
