"""Did the clock move while something was measured?

A GPU's is read through NVML; a processor's from cpufreq where the kernel shows it. Virtual machines
seldom do: there a fixed computation is timed, which also slows down when another program takes the
processor away.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from schemas.errors import InputError
from schemas.profiling import Clocks
from tasks.runtimes.gpu import sm_clock_mhz

# Largest spread, high over low, of a clock that stands still, as each way of reading shows it.
_STEADY = {"nvml": 1.02, "cpufreq": 1.05, "spin": 1.10}
_CPUFREQ = "devices/system/cpu/cpufreq"
_SPINS = 4


class ClockWatch:
    """Reads a clock now and then; ``sample`` takes about a millisecond.

    ``on_gpu`` says whose clock. ``sysfs`` is where Linux shows its devices.
    """

    def __init__(self, *, on_gpu: bool, sysfs: Path = Path("/sys")) -> None:
        self.source, self._read = _reader(on_gpu, sysfs)
        self._samples: list[float] = []

    def sample(self) -> None:
        value = self._read()
        if value is not None:
            self._samples.append(value)

    def report(self) -> Clocks | None:
        """What it did from the first sample to the last; None where it could not be read."""
        if len(self._samples) < 2:
            return None
        # One slow sample in many is a program that came by, and not the clock.
        low, median, high = np.percentile(self._samples, [5, 50, 95])
        return Clocks(
            source=self.source,
            unit="MHz" if self.source != "spin" else "computations/ms",
            low=round(float(low), 1),
            median=round(float(median), 1),
            high=round(float(high), 1),
            moved=bool(high > low * _STEADY[self.source]),
        )


def moved_note(clocks: Clocks) -> str:
    """One sentence on a clock that moved, and what to do."""
    what = f"the clock moved from {clocks.low:g} to {clocks.high:g} {clocks.unit}"
    if clocks.source == "nvml":
        return (
            f"{what} while measuring: lock it with nvidia-smi --lock-gpu-clocks and profile again"
        )
    if clocks.source == "cpufreq":
        return f"{what} while measuring: set the governor to performance and profile again"
    return (
        f"the processor's speed varied by {clocks.high / clocks.low - 1:.0%} while measuring: its "
        "clock moved or another program used it: end what else runs, or go by ratios, which hold "
        "better than times"
    )


def require_steady(clocks: Clocks | None) -> None:
    """Raises InputError where the clock moved, or cannot be told."""
    if clocks is None:
        raise InputError(
            "profile.steady_clocks is require and the clock cannot be read here: set it to warn"
        )
    if clocks.moved:
        raise InputError(f"profile.steady_clocks: {moved_note(clocks)}")


def _reader(on_gpu: bool, sysfs: Path) -> tuple[str, Callable[[], float | None]]:
    if on_gpu:
        return "nvml", sm_clock_mhz
    files = sorted((sysfs / _CPUFREQ).glob("policy*/scaling_cur_freq"))
    if files:
        return "cpufreq", lambda: _fastest_mhz(files)
    return "spin", _spin


def _fastest_mhz(files: list[Path]) -> float | None:
    try:
        return max(int(file.read_text()) for file in files) / 1000
    except (OSError, ValueError):
        return None


def _spin() -> float:
    """Fixed computations a millisecond, the best of a few."""
    best = min(_spin_once() for _ in range(_SPINS))
    return 1e6 / best


def _spin_once() -> int:
    started = time.perf_counter_ns()
    # In C and without memory: nothing but the processor decides how long it takes.
    hashlib.pbkdf2_hmac("sha256", b"clock", b"watch", 300)
    return time.perf_counter_ns() - started
