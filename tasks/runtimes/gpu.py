"""The NVIDIA GPU of this machine, asked through NVML: no CUDA context, no framework."""

import ctypes
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    name: str
    compute_capability: str
    driver: str


def find_gpu() -> Gpu | None:
    """The first GPU, or None where there is none or its driver is not installed."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        handle = ctypes.c_void_p()
        if nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) != 0:
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
    finally:
        nvml.nvmlShutdown()


def gpu_fingerprint() -> dict[str, str]:
    """What a plan built here depends on; empty without a GPU."""
    gpu = find_gpu()
    if gpu is None:
        return {}
    return {"gpu": gpu.name, "compute_capability": gpu.compute_capability, "driver": gpu.driver}
