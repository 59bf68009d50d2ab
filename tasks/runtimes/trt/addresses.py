"""Processes whose memory lies at the same addresses every time."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# From Linux's <sys/personality.h>.
_ADDR_NO_RANDOMIZE = 0x0040000
_QUERY = 0xFFFFFFFF


@contextmanager
def fixed_addresses() -> Iterator[None]:
    """Processes started inside get no address randomization, where the kernel allows it.

    TensorRT for RTX orders some of its work by pointers: with fixed addresses the same graph gives
    the same plan, byte for byte. A container's seccomp profile may refuse the call; plans then
    differ in internal names and order.
    """
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.personality.argtypes = [ctypes.c_ulong]
    # It holds for the calling thread and for what that thread starts.
    before = libc.personality(_QUERY)
    if before != -1:
        libc.personality(before | _ADDR_NO_RANDOMIZE)
    try:
        yield
    finally:
        if before != -1:
            libc.personality(before)
