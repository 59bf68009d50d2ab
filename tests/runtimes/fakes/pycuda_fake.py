"""pycuda's driver with the CPU's memory for the GPU's: what is queued is done at once.

It counts what is alive and, when told so, has no memory left. It keeps pycuda's rules that bite: no
work without a current context, no asynchronous copy from memory that is not pinned.
"""

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Error(Exception):
    pass


class MemoryError(Error):
    pass


class _Pinned(np.ndarray):  # type: ignore[type-arg]
    pass


class FakeDriver:
    """Stands for the module ``pycuda.driver``."""

    Error, MemoryError = Error, MemoryError

    def __init__(self, capacity_bytes: int = 1 << 30) -> None:
        self.capacity_bytes = capacity_bytes
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.depth = 0
        self.allocations = 0
        self.pinned = 0
        self._addresses = itertools.count(4096, 1 << 32)
        self._handles = itertools.count(1)
        driver = self

        class Device:
            def __init__(self, number: int) -> None:
                self.number = number

            @staticmethod
            def count() -> int:
                return 1

            def retain_primary_context(self) -> "Context":
                return Context()

        class Context:
            def push(self) -> None:
                driver.depth += 1

            @staticmethod
            def pop() -> None:
                driver.depth -= 1

        class Stream:
            def __init__(self) -> None:
                driver._current()
                self.handle = next(driver._handles)

            def synchronize(self) -> None:
                driver._current()

        class Event:
            def __init__(self) -> None:
                driver._current()
                self.at_ns = 0

            def record(self, stream: Stream) -> None:  # noqa: ARG002
                self.at_ns = time.perf_counter_ns()

            def time_since(self, other: "Event") -> float:
                return (self.at_ns - other.at_ns) / 1e6

        self.Device, self.Context, self.Stream, self.Event = Device, Context, Stream, Event

    def init(self) -> None:
        pass

    def _current(self) -> None:
        if self.depth == 0:
            raise Error("invalid device context")

    @property
    def used_bytes(self) -> int:
        return sum(block.nbytes for block in self.memory.values())

    def mem_get_info(self) -> tuple[int, int]:
        return self.capacity_bytes - self.used_bytes, self.capacity_bytes

    def mem_alloc(self, size: int) -> "_Block":
        self._current()
        if self.used_bytes + size > self.capacity_bytes:
            raise MemoryError("cuMemAlloc failed: out of memory")
        self.allocations += 1
        address = next(self._addresses)
        # Rubbish, as freshly allocated memory is.
        self.memory[address] = np.full(size, 0xA5, np.uint8)
        return _Block(self, address)

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        self._current()
        self.pinned += 1
        return np.full(shape, np.nan, dtype).view(_Pinned)

    def memcpy_htod_async(self, target: "_Block", source: NDArray[Any], stream: Any) -> None:
        self._current()
        assert stream is not None
        assert isinstance(source, _Pinned), "a copy from pageable memory waits"
        self.memory[target.address][: source.nbytes] = np.asarray(source).reshape(-1).view(np.uint8)

    def memcpy_dtoh_async(self, target: NDArray[Any], source: "_Block", stream: Any) -> None:
        self._current()
        assert stream is not None
        assert isinstance(target, _Pinned)
        block = self.memory[source.address][: target.nbytes]
        np.copyto(target, block.view(target.dtype).reshape(target.shape))


class _Block:
    def __init__(self, driver: FakeDriver, address: int) -> None:
        self.driver, self.address = driver, address

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        del self.driver.memory[self.address]


class FakeLibrary:
    """Stands for libcuda's graph functions: between begin and end, work is kept and not done."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.refuse = refuse
        self.recording: list[Callable[[], None]] | None = None
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.launches = 0
        self._numbers = itertools.count(1)

    def do(self, work: Callable[[], None]) -> None:
        """Called by what queues work: now, or when the graph is launched."""
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def cuStreamBeginCapture_v2(self, stream: Any, mode: int) -> int:  # noqa: ARG002, N802
        self.recording = []
        return 0

    def cuStreamEndCapture(self, stream: Any, graph: Any) -> int:  # noqa: ARG002, N802
        number = next(self._numbers)
        self.graphs[number] = self.recording or []
        self.recording = None
        graph._obj.value = number
        return 901 if self.refuse else 0

    def cuGraphInstantiateWithFlags(self, made: Any, graph: Any, flags: Any) -> int:  # noqa: ARG002, N802
        made._obj.value = graph.value
        return 0

    def cuGraphLaunch(self, made: Any, stream: Any) -> int:  # noqa: ARG002, N802
        self.launches += 1
        for work in self.graphs[made.value]:
            work()
        return 0

    def cuGraphDestroy(self, graph: Any) -> int:  # noqa: ARG002, N802
        return 0

    def cuGraphExecDestroy(self, made: Any) -> int:  # noqa: N802
        del self.graphs[made.value]
        return 0

    def cuGetErrorName(self, status: int, name: Any) -> int:  # noqa: N802
        name._obj.value = {901: b"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}.get(status, b"?")
        return 0
