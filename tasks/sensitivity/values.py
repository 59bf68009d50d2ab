"""What a graph's inner tensors hold, by ONNX Runtime as written or by OpenVINO as compiled."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from schemas.errors import InputError, cause

Values = dict[str, NDArray[np.float32]]
Reader = Callable[[NDArray[np.float32]], Values]


def read_by_onnxruntime(model: onnx.ModelProto, tensors: Sequence[str]) -> Reader:
    """A function from images ``float32[N, C, H, W]`` to the named tensors; nothing is fused."""
    import onnxruntime as ort

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {x.name for x in watched.graph.output}
    watched.graph.output.extend(onnx.ValueInfoProto(name=x) for x in tensors if x not in known)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session: Any = ort.InferenceSession(
            watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exception types have no common public base
        raise InputError(
            f"ONNX Runtime cannot run the graph layer by layer ({cause(error)}): export it again"
        ) from error
    name = session.get_inputs()[0].name

    def read(images: NDArray[np.float32]) -> Values:
        found = session.run(list(tensors), {name: images})
        return {t: np.asarray(v, np.float32) for t, v in zip(tensors, found, strict=True)}

    return read


def read_by_openvino(graph: Path, tensors: Sequence[str]) -> Reader:
    """The same by OpenVINO, compiled as an engine is.

    A watched tensor has to be written out, so that less is fused around it than in the plan; what
    computes in integers still does.
    """
    import openvino as ov

    core = ov.Core()
    try:
        model: Any = core.read_model(graph)
        model.add_outputs(list(tensors))
        compiled: Any = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise InputError(
            f"OpenVINO cannot run the graph layer by layer ({cause(error)}): export it again"
        ) from error
    request = compiled.create_infer_request()

    def read(images: NDArray[np.float32]) -> Values:
        request.infer({0: images})
        return {t: np.array(request.get_tensor(t).data, np.float32) for t in tensors}

    return read
