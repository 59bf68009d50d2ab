"""A PyTorch network behind the same interface as the engines."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.runtimes.clock import time_calls
from tasks.runtimes.processor import cpu_count


class TorchSession:
    """``module`` in evaluation mode on the CPU; ``threads`` 0 stands for all.

    The thread count is PyTorch's own global one: it is set for each call and put back after it.
    """

    def __init__(self, module: torch.nn.Module, *, threads: int = 0) -> None:
        module.eval()
        self._module = module
        self._threads = threads or cpu_count()

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``float32[N, classes]`` of images ``float32[N, C, H, W]``."""
        with self._threads_set(), torch.inference_mode():
            logits: torch.Tensor = self._module(torch.from_numpy(np.ascontiguousarray(batch)))
            return cast(NDArray[np.float32], logits.float().numpy())

    def time(self, batch: NDArray[np.float32], calls: int) -> NDArray[np.float64]:
        """Milliseconds of each of ``calls`` calls: ``float64[calls]``."""
        images = torch.from_numpy(np.ascontiguousarray(batch))
        with self._threads_set(), torch.inference_mode():
            return time_calls(lambda: self._module(images), calls)

    @contextmanager
    def _threads_set(self) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
