"""Timing of engines that compute in the calling thread's sight."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def time_calls(call: Callable[[], object], calls: int) -> NDArray[np.float64]:
    """Wall-clock milliseconds of each of ``calls`` calls: ``float64[calls]``."""
    stamps = np.empty(calls + 1, dtype=np.int64)
    clock = time.perf_counter_ns
    stamps[0] = clock()
    for index in range(1, calls + 1):
        call()
        stamps[index] = clock()
    return np.diff(stamps) / 1e6
