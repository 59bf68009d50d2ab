"""Which runtime serves which target."""

from schemas.base import Target
from tasks.runtimes.protocol import Runtime


def runtime(target: Target) -> Runtime:
    """The engine of a target; only its own module is imported.

    Whether the engine is installed shows in ``fingerprint()``, which raises InputError where not.
    """
    if target == "openvino":
        from tasks.runtimes.openvino import OpenVinoRuntime

        return OpenVinoRuntime()
    if target == "tensorrt_rtx":
        from tasks.runtimes.tensorrt_rtx import TensorRtRtxRuntime

        return TensorRtRtxRuntime()
    if target == "tensorrt":
        from tasks.runtimes.tensorrt import TensorRtRuntime

        return TensorRtRuntime()
    from tasks.runtimes.onnxruntime import OnnxRuntimeRuntime

    return OnnxRuntimeRuntime()
