"""The GPU's primary context: the one that torch and every other library of the process is in."""

import threading
from types import TracebackType
from typing import Any

from schemas.errors import InputError


def load_driver() -> Any:
    """``pycuda.driver``, initialized. Raises InputError where it is missing or finds no GPU."""
    try:
        import pycuda.driver as driver
    except ImportError as error:
        raise InputError(
            f"pycuda does not load ({error}): install it on a machine with CUDA's headers (pip "
            "install pycuda), or run in the GPU container"
        ) from error
    try:
        driver.init()
        devices = driver.Device.count()
    except driver.Error as error:
        raise InputError(f"CUDA does not start ({error}): check the driver with nvidia-smi") from (
            error
        )
    if devices == 0:
        raise InputError("CUDA sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES")
    return driver


class PrimaryContext:
    """The primary context of one GPU, current inside a ``with`` block.

    It is pushed and popped, and never left on pycuda's stack: torch finds the thread as it was, and
    pycuda nothing to complain of when the process ends. Blocks may nest. What is made in a thread
    has to be used and freed in that thread, as pycuda demands.
    """

    def __init__(self, device: int = 0) -> None:
        self.driver = load_driver()
        if device >= self.driver.Device.count():
            raise InputError(f"there is no GPU {device}: choose below {self.driver.Device.count()}")
        self.device = device
        self._context = self.driver.Device(device).retain_primary_context()
        self._thread = threading.get_ident()

    def __enter__(self) -> Any:
        """pycuda's driver module."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("a CUDA session is used in the thread that opened it")
        self._context.push()
        return self.driver

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.driver.Context.pop()
