"""ONNX Runtime on the CPU: what every other form of a graph is compared with.

With its graph optimizations off it computes each node as the ONNX standard defines it, which
makes it the reference for parity; its INT8 kernels are not fast enough to be delivered.
"""

import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.base import Strict, Target
from schemas.engine import LayerTable, Manifest, TensorInfo
from schemas.errors import InputError, cause
from tasks.runtimes.batches import check_images, infer_in_batches
from tasks.runtimes.clock import time_calls
from tasks.runtimes.processor import cpu
from tasks.runtimes.protocol import Build
from tasks.versions import installed_version


class OnnxRuntimeSession:
    """One ONNX graph, loaded.

    ``graph`` is a file or the serialized model. With ``optimize`` False the graph runs node by node
    as written. ``threads`` 0 stands for all. Raises InputError where the graph does not load.
    """

    def __init__(self, graph: Path | bytes, *, optimize: bool = False, threads: int = 0) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        level = ort.GraphOptimizationLevel
        options.graph_optimization_level = (
            level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
        )
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        source = str(graph) if isinstance(graph, Path) else graph
        try:
            self._session: Any = ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exception types have no common public base
            name = graph.name if isinstance(graph, Path) else "the graph"
            raise InputError(
                f"ONNX Runtime cannot load {name} ({cause(error)}): export it again"
            ) from error
        self.inputs = tuple(_info(x) for x in self._session.get_inputs())
        self.outputs = tuple(_info(x) for x in self._session.get_outputs())

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``float32[N, classes]`` of images ``float32[N, C, H, W]``."""
        batch = check_images(batch, self.inputs[0].shape, "the graph")
        size = self.inputs[0].shape[0]
        return self._call(batch) if size < 0 else infer_in_batches(batch, size, self._call)

    def time(self, batch: NDArray[np.float32], calls: int) -> NDArray[np.float64]:
        """Milliseconds of each of ``calls`` calls on buffers set once: ``float64[calls]``."""
        from onnxruntime import OrtValue

        batch = check_images(batch, self.inputs[0].shape, "the graph", exact=True)
        places = self._session.io_binding()
        places.bind_cpu_input(self.inputs[0].name, batch)
        answers = self._session.run(None, {self.inputs[0].name: batch})
        for tensor, answer in zip(self.outputs, answers, strict=True):
            places.bind_ortvalue_output(tensor.name, OrtValue.ortvalue_from_numpy(answer))
        return time_calls(partial(self._session.run_with_iobinding, places), calls)

    def _call(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._session.run(None, {self.inputs[0].name: batch})[0]
        return result


class OnnxRuntimeRuntime:
    """The reference as an engine: its plan is the ONNX file itself."""

    target: Target = "onnxruntime"

    def fingerprint(self) -> dict[str, str]:
        found = installed_version(
            "onnxruntime,onnxruntime-gpu", "ONNX Runtime", "pip install onnxruntime"
        )
        return {"onnxruntime": found, **cpu()}

    def check(self, manifest: Manifest) -> None:
        """Nothing to refuse: an ONNX file runs anywhere."""

    def build(self, graph: Path, plan: Path, options: Strict) -> Build:  # noqa: ARG002
        start = time.perf_counter()
        session = OnnxRuntimeSession(graph)
        shutil.copyfile(graph, plan)
        return Build(
            inputs=session.inputs,
            outputs=session.outputs,
            layers=LayerTable(source="ONNX Runtime keeps no table", layers=()),
            build_s=time.perf_counter() - start,
            peak_memory_bytes=None,
        )

    def cannot_run(self) -> str | None:
        return None

    def open(
        self,
        plan: Path,
        *,
        threads: int = 0,
        manifest: Manifest | None = None,  # noqa: ARG002
    ) -> OnnxRuntimeSession:
        return OnnxRuntimeSession(plan, optimize=True, threads=threads)


_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}


def _info(value: Any) -> TensorInfo:
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    dtype = _DTYPES.get(value.type, value.type.removeprefix("tensor(").removesuffix(")"))
    return TensorInfo(name=value.name, dtype=dtype, shape=shape)
