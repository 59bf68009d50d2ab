"""A network on a GPU, whoever made its kernels, as a session like any engine's."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.engine import ShapeRange, TensorInfo
from tasks.runtimes.batches import check_images, check_range, infer_in_batches
from tasks.runtimes.clock import time_calls
from tasks.runtimes.cuda.context import PrimaryContext
from tasks.runtimes.cuda.executor import Executor
from tasks.runtimes.cuda.lane import Lane
from tasks.runtimes.protocol import Phases

# Shapes whose buffers are kept at a time: the usual batch, and the rest of a test set.
_KEPT_SHAPES = 2


class CudaSession:
    """One input, one output; buffers, streams and graphs are made once for each shape.

    ``executor`` makes what runs the network, once for every stream and shape; ``input`` and
    ``output`` are its tensors, -1 standing for any size, and ``limits`` the sizes it was built for.
    The output's first dimension is the batch. ``graphs`` False launches kernel by kernel. Use it in
    the thread that made it, and ``close`` it there.
    """

    def __init__(
        self,
        executor: Callable[[], Executor],
        input: TensorInfo,
        output: TensorInfo,
        *,
        limits: tuple[ShapeRange, ...] = (),
        graphs: bool = True,
        device: int = 0,
        library: Any = None,
    ) -> None:
        self.inputs, self.outputs = (input,), (output,)
        self._make, self._limits, self._graphs = executor, limits, graphs
        self._library = library
        self._context = PrimaryContext(device)
        self._lanes: dict[tuple[int, ...], list[Lane]] = {}

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``float32[N, classes]`` of images ``float32[N, C, H, W]``."""
        batch = check_images(batch, self.inputs[0].shape, "the plan")
        size = self.inputs[0].shape[0]
        return self._call(batch) if size < 0 else infer_in_batches(batch, size, self._call)

    def infer_many(
        self, batches: Iterable[NDArray[np.float32]], streams: int = 2
    ) -> Iterator[NDArray[np.float32]]:
        """Logits of each batch in turn; the CPU fills one stream's buffers while others compute."""
        if self.inputs[0].shape[0] > 0:
            yield from map(self.infer, batches)
            return
        waiting: deque[Lane] = deque()
        for number, batch in enumerate(batches):
            images = self._checked(batch)
            # Buffers of another shape may have to make room for these.
            while waiting and (len(waiting) == streams or waiting[0].images.shape != images.shape):
                yield self._finished(waiting.popleft())
            with self._context:
                lane = self._lane(images.shape, number % streams)
                lane.fill(images)
                lane.start()
                waiting.append(lane)
        while waiting:
            yield self._finished(waiting.popleft())

    def _finished(self, lane: Lane) -> NDArray[np.float32]:
        with self._context:
            lane.wait()
            # A copy: the pinned buffer belongs to the next call.
            return lane.logits.astype(np.float32)

    def time(self, batch: NDArray[np.float32], calls: int) -> NDArray[np.float64]:
        """Milliseconds of each call from pinned memory to pinned memory: ``float64[calls]``."""
        batch = self._checked(batch)
        with self._context:
            lane = self._lane(batch.shape)
            lane.fill(batch)
            return time_calls(lane.call, calls)

    def time_phases(self, batch: NDArray[np.float32], calls: int) -> Phases:
        """What the parts of as many further calls took, by CUDA events; see :class:`Phases`."""
        batch = self._checked(batch)
        parts = np.empty((4, calls))
        with self._context:
            lane = self._lane(batch.shape)
            lane.fill(batch)
            for index in range(calls):
                parts[3, index] = lane.call_with_events()
                parts[:3, index] = lane.phases_ms()
        return Phases(h2d=parts[0], compute=parts[1], d2h=parts[2], enqueue=parts[3])

    def throughput(self, batch: NDArray[np.float32], calls: int, streams: int = 2) -> float:
        """Images a second where ``streams`` inferences are under way at any time, copies included.

        Nothing waits for an answer before the next question is put, unlike in :meth:`time`.
        """
        batch = self._checked(batch)
        with self._context:
            lanes = [self._lane(batch.shape, index) for index in range(streams)]
            for lane in lanes:
                lane.fill(batch)
                lane.call()

            def run() -> None:
                for index in range(calls):
                    lane = lanes[index % streams]
                    lane.wait()
                    lane.start()
                for lane in lanes:
                    lane.wait()

            took_ms = float(time_calls(run, 1)[0])
        return calls * len(batch) * 1000 / took_ms

    def close(self) -> None:
        """Free the GPU's memory; the session can be used again and allocates anew."""
        with self._context:
            for lanes in self._lanes.values():
                for lane in lanes:
                    lane.close()
        self._lanes.clear()

    def _checked(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return check_images(batch, self.inputs[0].shape, "the plan", exact=True)

    def _call(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._context:
            lane = self._lane(batch.shape)
            lane.fill(batch)
            lane.start()
        return self._finished(lane)

    def _lane(self, shape: tuple[int, ...], number: int = 0) -> Lane:
        lanes = self._lanes.get(shape)
        if lanes is None:
            check_range(shape, self._limits, "the plan")
            while len(self._lanes) >= _KEPT_SHAPES:
                for lane in self._lanes.pop(next(iter(self._lanes))):
                    lane.close()
            lanes = self._lanes[shape] = []
        while len(lanes) <= number:
            lanes.append(self._new_lane(shape))
        return lanes[number]

    def _new_lane(self, shape: tuple[int, ...]) -> Lane:
        wanted, given = self.inputs[0], self.outputs[0]
        return Lane(
            self._context.driver,
            self._make(),
            (shape, (shape[0], *given.shape[1:])),
            (wanted.dtype, given.dtype),
            use_graph=self._graphs,
            library=self._library,
        )
