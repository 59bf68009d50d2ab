"""TensorRT for RTX posing as TensorRT, so that TensorRT's own code path runs without a GPU.

The environment variable FAKE_TENSORRT makes its builder fail in a way that only a GPU can bring
about: ``no_kernel:NAME`` (while the network has a layer of that name), ``out_of_memory``,
``killed``, ``hang``, ``crash``.
"""

import os
import signal
import time
from typing import Any

import tensorrt_rtx as rtx
from tensorrt_rtx import *  # noqa: F403

__version__ = "10.13.2"
del ComputeCapability  # noqa: F821 - TensorRT has none, and is told apart by it


class Builder(rtx.Builder):
    def build_serialized_network(self, network: Any, config: Any) -> Any:
        fault, _, detail = os.environ.get("FAKE_TENSORRT", "").partition(":")
        if fault == "no_kernel":
            names = {network.get_layer(index).name for index in range(network.num_layers)}
            if detail in names:
                layer = os.environ["FAKE_TENSORRT_LAYER"]
                return self._fail(
                    "Error Code 10: Internal Error "
                    f"(Could not find any implementation for node {layer}.)"
                )
        if fault == "out_of_memory":
            return self._fail("Error Code 2: OutOfMemory (Requested size was 8589934592 bytes.)")
        if fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "hang":
            time.sleep(180)
        if fault == "crash":
            raise RuntimeError("CUDA initialization failure with error: 35")
        config.num_compute_capabilities = 1
        config.set_compute_capability(rtx.ComputeCapability.SM86, 0)
        return super().build_serialized_network(network, config)

    def _fail(self, message: str) -> None:
        self.logger.log(rtx.ILogger.Severity.ERROR, message)
