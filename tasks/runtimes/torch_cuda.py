"""A PyTorch network on an NVIDIA GPU behind the same interface as the engines.

A call goes from pinned memory to pinned memory, as an engine's does: copy in, compute, copy out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schemas.errors import InputError
from tasks.runtimes.clock import time_calls
from tasks.runtimes.protocol import Phases

# Calls before a graph is recorded: they choose algorithms and compile, which a recording must not.
_WARM_UP = 3


@dataclass(frozen=True)
class Form:
    """How numbers are held and multiplied, and whether the kernels are replayed as a CUDA graph."""

    name: str
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    tf32: bool = False
    graph: bool = False

    @property
    def layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def network(self, model: nn.Module) -> nn.Module:
        """The network on the GPU in this form; it is changed in place."""
        model.eval()
        return model.cuda().to(self.dtype).to(memory_format=self.layout)

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """PyTorch's process-wide TF32 switches, as this form wants them."""
        convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
        before = convolutions.allow_tf32, products.allow_tf32
        convolutions.allow_tf32 = products.allow_tf32 = self.tf32
        try:
            yield
        finally:
            convolutions.allow_tf32, products.allow_tf32 = before


class TorchCudaSession:
    """``network``, already in ``form``, for images of one shape after the other."""

    def __init__(self, network: Callable[[Tensor], Tensor], form: Form) -> None:
        self.form = form
        self._network = network
        self._slot: _Slot | None = None

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``float32[N, classes]`` of images ``float32[N, C, H, W]``."""
        with self._ready(batch) as slot:
            slot.call()
            return cast(NDArray[np.float32], slot.logits.float().numpy().copy())

    def time(self, batch: NDArray[np.float32], calls: int) -> NDArray[np.float64]:
        """Milliseconds of each call from pinned memory to pinned memory: ``float64[calls]``."""
        with self._ready(batch) as slot:
            return time_calls(slot.call, calls)

    def time_phases(self, batch: NDArray[np.float32], calls: int) -> Phases:
        """What the parts of as many further calls take, by CUDA events; see :class:`Phases`."""
        parts = np.empty((4, calls))
        with self._ready(batch) as slot:
            for index in range(calls):
                parts[:, index] = slot.call_with_events()
        return Phases(h2d=parts[0], compute=parts[1], d2h=parts[2], enqueue=parts[3])

    def close(self) -> None:
        """Give the buffers back to PyTorch."""
        self._slot = None

    @contextmanager
    def _ready(self, batch: NDArray[np.float32]) -> "Iterator[_Slot]":
        with torch.inference_mode(), self.form.arithmetic():
            if self._slot is None or self._slot.images.shape != batch.shape:
                self._slot = None
                try:
                    self._slot = _Slot(self._network, self.form, batch.shape)
                except torch.cuda.OutOfMemoryError as error:
                    raise InputError(
                        f"the GPU's memory is full at {len(batch)} images: take a smaller batch, "
                        "or end what else runs there (nvidia-smi)"
                    ) from error
            self._slot.images.copy_(torch.from_numpy(np.ascontiguousarray(batch)))
            yield self._slot


class _Slot:
    """Buffers, events and perhaps a recorded graph for one shape, allocated once."""

    def __init__(
        self, network: Callable[[Tensor], Tensor], form: Form, shape: tuple[int, ...]
    ) -> None:
        self._network = network
        self.images = torch.empty(shape, pin_memory=True)
        self._incoming = torch.zeros(shape, device="cuda")
        self._input = torch.empty(shape, dtype=form.dtype, device="cuda", memory_format=form.layout)
        self._events = [_event() for _ in range(4)]
        self._graph: torch.cuda.CUDAGraph | None = None
        for _ in range(_WARM_UP):
            self._output = self._run()
        if form.graph:
            self._record()
        self.logits = torch.empty(self._output.shape, dtype=self._output.dtype, pin_memory=True)
        torch.cuda.synchronize()

    def _run(self) -> Tensor:
        return self._network(self._input.copy_(self._incoming))

    def _record(self) -> None:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._run()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = self._run()

    def _compute(self) -> None:
        if self._graph is None:
            self._output = self._run()
        else:
            self._graph.replay()

    def call(self) -> None:
        """One inference, waited for."""
        self._incoming.copy_(self.images, non_blocking=True)
        self._compute()
        self.logits.copy_(self._output, non_blocking=True)
        torch.cuda.current_stream().synchronize()

    def call_with_events(self) -> tuple[float, float, float, float]:
        """Milliseconds of copy in, compute and copy out, and of queueing them."""
        before, copied, computed, after = self._events
        queueing = time_calls(lambda: self._queue(before, copied, computed, after), 1)
        torch.cuda.current_stream().synchronize()
        return (
            before.elapsed_time(copied),
            copied.elapsed_time(computed),
            computed.elapsed_time(after),
            float(queueing[0]),
        )

    def _queue(self, *events: torch.cuda.Event) -> None:
        before, copied, computed, after = events
        before.record()
        self._incoming.copy_(self.images, non_blocking=True)
        copied.record()
        self._compute()
        computed.record()
        self.logits.copy_(self._output, non_blocking=True)
        after.record()


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
