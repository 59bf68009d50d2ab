"""One stream with everything that an inference on it needs, allocated once."""

import logging
import math
import time
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from schemas.errors import InputError
from tasks.runtimes.cuda.executor import Executor
from tasks.runtimes.cuda.graph import CaptureError, Graph

log = logging.getLogger("enginesmith")


class Lane:
    """Pinned and device buffers, events, a stream and an executor for images of one shape.

    Made, used and closed inside the same context. Raises InputError where the GPU is full.
    """

    def __init__(
        self,
        driver: Any,
        executor: Executor,
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        dtypes: tuple[DTypeLike, DTypeLike],
        *,
        use_graph: bool,
        library: Any = None,
    ) -> None:
        self._driver, self._executor = driver, executor
        self._graph: Graph | None = None
        try:
            self.stream: Any = driver.Stream()
            self.events: list[Any] = [driver.Event() for _ in range(4)]
            # Pinned memory is what copies that do not stop the CPU need.
            self.images: NDArray[Any] = driver.pagelocked_empty(shapes[0], dtypes[0])
            self.logits: NDArray[Any] = driver.pagelocked_empty(shapes[1], dtypes[1])
            self._input: Any = driver.mem_alloc(self.images.nbytes)
            self._output: Any = driver.mem_alloc(self.logits.nbytes)
            executor.bind(shapes[0], int(self._input), int(self._output))
            executor.enqueue(self.stream)
            self.stream.synchronize()
        except driver.MemoryError as error:
            raise InputError(_full(driver, shapes, dtypes)) from error
        if use_graph:
            self._capture(library)

    def _capture(self, library: Any) -> None:
        stream = self.stream
        try:
            self._graph = Graph(stream.handle, lambda: self._executor.enqueue(stream), library)
        except CaptureError as error:
            log.warning("runs without a CUDA graph, as it cannot be captured: %s", error)

    @property
    def has_graph(self) -> bool:
        return self._graph is not None

    def fill(self, batch: NDArray[np.float32]) -> None:
        """Images into pinned memory: the one copy on the CPU's side."""
        np.copyto(self.images, batch, casting="same_kind")

    def copy_in(self) -> None:
        self._driver.memcpy_htod_async(self._input, self.images, self.stream)

    def compute(self) -> None:
        if self._graph is None:
            self._executor.enqueue(self.stream)
        else:
            self._graph.launch()

    def copy_out(self) -> None:
        self._driver.memcpy_dtoh_async(self.logits, self._output, self.stream)

    def start(self) -> None:
        """Queue copy, inference and copy back."""
        self.copy_in()
        self.compute()
        self.copy_out()

    def wait(self) -> None:
        self.stream.synchronize()

    def call(self) -> None:
        """One inference from pinned memory to pinned memory."""
        self.start()
        self.stream.synchronize()

    def call_with_events(self) -> float:
        """As :meth:`call` with an event between the phases; milliseconds that queueing took."""
        before, copied, computed, after = self.events
        stream = self.stream
        started = time.perf_counter_ns()
        before.record(stream)
        self.copy_in()
        copied.record(stream)
        self.compute()
        computed.record(stream)
        self.copy_out()
        after.record(stream)
        queued = time.perf_counter_ns()
        stream.synchronize()
        return (queued - started) / 1e6

    def phases_ms(self) -> tuple[float, float, float]:
        """What the last :meth:`call_with_events` took on the GPU: copy in, compute, copy out."""
        before, copied, computed, after = self.events
        return copied.time_since(before), computed.time_since(copied), after.time_since(computed)

    def close(self) -> None:
        """Free everything now; afterwards it cannot be used."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None
        self._input.free()
        self._output.free()
        # Pinned memory is freed with its last array.
        self.images = self.logits = np.empty(0)


def _full(driver: Any, shapes: tuple[tuple[int, ...], ...], dtypes: tuple[DTypeLike, ...]) -> str:
    wanted = sum(
        math.prod(shape) * np.dtype(dtype).itemsize
        for shape, dtype in zip(shapes, dtypes, strict=True)
    )
    free, total = driver.mem_get_info()
    return (
        f"the GPU's memory is full: {free / 2**20:.0f} of {total / 2**20:.0f} MiB are free, and "
        f"{shapes[0][0]} images need {wanted / 2**20:.1f} MiB besides the network's own: take a "
        "smaller batch, or end what else runs there (nvidia-smi)"
    )
