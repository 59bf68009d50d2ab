"""What this machine computes with, read cheaply: no framework is imported."""

import os
import platform
from pathlib import Path

# Instruction sets that decide which integer kernels a CPU engine picks.
_FLAGS = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
)


def cpu() -> dict[str, str]:
    """The processor's name and the instruction sets that matter here."""
    name, flags = platform.processor() or platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                have = set(value.split())
                flags = " ".join(flag for flag in _FLAGS if flag in have)
                break
    except OSError:
        pass
    return {"cpu": name, "cpu_flags": flags}


def cpu_count() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
