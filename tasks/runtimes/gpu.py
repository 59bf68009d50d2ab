"""The NVIDIA GPU of this machine, asked through NVML: no CUDA context, no framework."""

import ctypes
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_SM_CLOCK = 1  # NVML_CLOCK_SM


@dataclass(frozen=True)
class Gpu:
    name: str
    compute_capability: str
    driver: str


def find_gpu() -> Gpu | None:
    """The first GPU, or None where there is none or its driver is not installed."""
    with _first_device() as (nvml, handle):
        if nvml is None:
            return None
        name, driver = ctypes.create_string_buffer(96), ctypes.create_string_buffer(80)
        major, minor = ctypes.c_int(), ctypes.c_int()
        failed = (
            nvml.nvmlDeviceGetName(handle, name, len(name))
            or nvml.nvmlSystemGetDriverVersion(driver, len(driver))
            or nvml.nvmlDeviceGetCudaComputeCapability(
                handle, ctypes.byref(major), ctypes.byref(minor)
            )
        )
        if failed:
            return None
        return Gpu(name.value.decode(), f"{major.value}.{minor.value}", driver.value.decode())


def why_no_sessions() -> str | None:
    """Why no plan can run on a GPU here; None where one can."""
    if find_gpu() is None:
        return "no NVIDIA GPU here"
    if importlib.util.find_spec("pycuda") is None:
        return (
            "pycuda, which plans are run with, is not installed: the image has it (docker compose "
            "run --rm build JOB), or compile it with pip install -r requirements-gpu.lock"
        )
    return None


def sm_clock_mhz() -> float | None:
    """The first GPU's present clock of its multiprocessors; None where it cannot be read."""
    with _first_device() as (nvml, handle):
        clock = ctypes.c_uint()
        if nvml is None or nvml.nvmlDeviceGetClockInfo(handle, _SM_CLOCK, ctypes.byref(clock)):
            return None
        return float(clock.value)


@contextmanager
def _first_device() -> Iterator[tuple[Any, ctypes.c_void_p]]:
    """NVML and the first GPU's handle; NVML is None where there is none."""
    handle = ctypes.c_void_p()
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        nvml = None
    if nvml is None or nvml.nvmlInit_v2() != 0:
        yield None, handle
        return
    try:
        found = nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) == 0
        yield (nvml if found else None), handle
    finally:
        nvml.nvmlShutdown()


def gpu_fingerprint() -> dict[str, str]:
    """What a plan built here depends on; empty without a GPU."""
    gpu = find_gpu()
    if gpu is None:
        return {}
    return {"gpu": gpu.name, "compute_capability": gpu.compute_capability, "driver": gpu.driver}
