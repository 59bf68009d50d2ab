"""What a graph computes, by ONNX Runtime with its optimizations off."""

import math

import numpy as np
import onnx
from numpy.typing import NDArray

from schemas.errors import InputError, cause

Outputs = dict[str, NDArray[np.generic]]


class ReferenceSession:
    """ONNX Runtime as written: no fusion, one thread, so that equal graphs give equal bits.

    Raises InputError where ONNX Runtime refuses the graph.
    """

    def __init__(self, model: onnx.ModelProto, extra_outputs: tuple[str, ...] = ()) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # What is an error is raised too, and then said in one line.
        options.log_severity_level = 4
        if extra_outputs:
            watched = onnx.ModelProto()
            watched.CopyFrom(model)
            known = {x.name for x in watched.graph.output}
            watched.graph.output.extend(
                onnx.ValueInfoProto(name=name) for name in extra_outputs if name not in known
            )
            model = watched
        try:
            self._session = ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise InputError(
                f"ONNX Runtime refuses the graph ({cause(error)}): run with --no-parity, or "
                "export it again"
            ) from error
        given = self._session.get_inputs()
        if len(given) != 1:
            raise InputError(
                f"the graph has {len(given)} inputs ({', '.join(x.name for x in given)}), and "
                "parity is measured on images alone: run with --no-parity"
            )
        self._input = given[0].name
        shape = given[0].shape
        self._batch = shape[0] if shape and isinstance(shape[0], int) else None
        self.outputs = tuple(x.name for x in self._session.get_outputs())

    def run(self, images: NDArray[np.float32]) -> Outputs:
        """Every output for ``images: float32[N, C, H, W]``, by name, batches joined.

        A graph of a fixed batch takes the images in such batches; the rest that fills none is
        left out. A scalar is one value a batch. Raises InputError where ONNX Runtime cannot run
        the graph on them.
        """
        size = self._batch or len(images)
        try:
            parts = [
                self._session.run(list(self.outputs), {self._input: images[start : start + size]})
                for start in range(0, len(images) - size + 1, size)
            ]
        except Exception as error:
            raise InputError(
                f"ONNX Runtime cannot run the graph on {size} images at once ({cause(error)}): run "
                "with --no-parity, or export it with the batch it takes"
            ) from error
        if not parts:
            raise InputError(
                f"the graph takes batches of {size}, {len(images)} images given: give more of them"
            )
        return {
            name: np.concatenate([np.atleast_1d(part[i]) for part in parts])
            for i, name in enumerate(self.outputs)
        }

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first output, flattened to ``float32[N, values]``."""
        return flat(self.run(images)[self.outputs[0]])


def flat(output: NDArray[np.generic]) -> NDArray[np.float32]:
    """An output as ``float32[N, values]``; a detector that finds nothing has N = 0."""
    return np.asarray(output, np.float32).reshape(len(output), math.prod(output.shape[1:]))
