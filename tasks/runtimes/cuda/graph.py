"""CUDA graphs: a whole inference as one launch.

pycuda has no graphs, so these are the driver's own functions; streams are pycuda's. Source: the
CUDA driver API's section "Graph Management".
"""

import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on allocating.


class CaptureError(Exception):
    """Work that cannot be captured, such as an allocation or a wait."""


def libcuda() -> Any:
    """The driver's library, which is there wherever pycuda loads."""
    return ctypes.CDLL("libcuda.so.1")


class Graph:
    """What ``enqueue`` queues on ``stream``, recorded without running it.

    Everything it reads and writes has to stay where it is for as long as the graph is used. Raises
    CaptureError where something in it cannot be recorded; the stream is usable afterwards.
    """

    def __init__(self, stream: int, enqueue: Callable[[], None], library: Any = None) -> None:
        self._cuda = library or libcuda()
        self._stream = ctypes.c_void_p(stream)
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        self._check(self._cuda.cuStreamBeginCapture_v2(self._stream, _THREAD_LOCAL))
        failure: Exception | None = None
        try:
            enqueue()
        except Exception as error:
            failure = error
        ended = self._cuda.cuStreamEndCapture(self._stream, ctypes.byref(graph))
        if failure is not None:
            self._destroy(graph)
            raise CaptureError(str(failure)) from failure
        self._check(ended)
        try:
            self._check(
                self._cuda.cuGraphInstantiateWithFlags(
                    ctypes.byref(self._executable), graph, ctypes.c_ulonglong(0)
                )
            )
        finally:
            self._destroy(graph)

    def launch(self) -> None:
        """Queue all of it on its stream."""
        self._check(self._cuda.cuGraphLaunch(self._executable, self._stream))

    def close(self) -> None:
        if self._executable:
            self._cuda.cuGraphExecDestroy(self._executable)
            self._executable = ctypes.c_void_p()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _destroy(self, graph: ctypes.c_void_p) -> None:
        if graph:
            self._cuda.cuGraphDestroy(graph)

    def _check(self, status: int) -> None:
        if status == 0:
            return
        name = ctypes.c_char_p()
        self._cuda.cuGetErrorName(status, ctypes.byref(name))
        raise CaptureError(name.value.decode() if name.value else f"CUDA error {status}")
