"""pycuda's driver, with the CPU's memory for the GPU's: what is queued is done at once.

Like pycuda it aborts the process that ends with a context on its stack.
"""

import atexit
import itertools
import os
from typing import Any

import numpy as np

memory: dict[int, Any] = {}
contexts: list["Context"] = []
_addresses = itertools.count(4096)


class Context:
    def push(self) -> None:
        contexts.append(self)

    @staticmethod
    def pop() -> None:
        contexts.pop()


class Device:
    def __init__(self, number: int) -> None:
        self.number = number

    def retain_primary_context(self) -> Context:
        return Context()


class Stream:
    handle = 77

    def synchronize(self) -> None:
        pass


def init() -> None:
    pass


def mem_alloc(size: int) -> int:
    assert contexts
    address = next(_addresses)
    # What lay there before.
    memory[address] = np.full(size // 4, 99, np.float32)
    return address


def memcpy_htod_async(address: int, source: Any, stream: Stream) -> None:
    del stream
    memory[address] = source.copy()


def memcpy_dtoh_async(target: Any, address: int, stream: Stream) -> None:
    del stream
    target[:] = memory[address].reshape(target.shape)


@atexit.register
def _end() -> None:
    if contexts:
        os.abort()
