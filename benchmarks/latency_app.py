"""OpenVINO's own ``benchmark_app`` and a session of ours on one plan, in turns."""

import contextlib
import io
import sys
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from tasks.profiling.distribution import ratio_with_interval
from tasks.runtimes.openvino import OpenVinoSession


def beside_app(plan: Path, size: int, calls: int, rounds: int = 14) -> dict[str, Any]:
    """One plan: what both measure, and how far apart they are.

    Both compile it three times over, as where its memory comes to lie makes some difference.
    """
    with zipfile.ZipFile(plan) as archive:
        archive.extractall(plan.parent / plan.stem)
    images = np.random.default_rng(0).standard_normal((1, 3, size, size), np.float32)
    warm_up = -(-calls // 4)
    called, computed, theirs = [], [], []
    otherwise: set[str] = set()
    for _ in range(3):
        session = OpenVinoSession(plan, threads=1)
        tool = BenchmarkApp(plan.parent / plan.stem / "model.xml", size)
        session.time(images, 1)
        (request,) = session._requests.values()
        otherwise.update(_differences(request, tool.request))
        for _ in range(rounds):
            session.time(images, warm_up)
            called.append(session.time(images, calls))
            computed.append(session.time_phases(images, calls).compute)
            tool.time(warm_up)
            theirs.append(tool.time(calls))
    over, low, high = ratio_with_interval(np.stack(theirs), np.stack(computed))
    medians_ms = {
        name: float(np.median(np.median(blocks, axis=1)))
        for name, blocks in (("ours", computed), ("call", called), ("benchmark_app", theirs))
    }
    return {
        "ours_ms": round(medians_ms["ours"], 4),
        "benchmark_app_ms": round(medians_ms["benchmark_app"], 4),
        "difference": round(over - 1, 4),
        "interval": [round(low - 1, 4), round(high - 1, 4)],
        # What both leave out: Python's way to OpenVINO and back.
        "call_ms": round(medians_ms["call"], 4),
        "call_takes_more_us": round(1000 * (medians_ms["call"] - medians_ms["ours"]), 1),
        "compiled_otherwise": sorted(otherwise),
    }


class BenchmarkApp:
    """OpenVINO's own tool in this process: its compiling, its inputs and its measuring loop.

    In a process of its own it would have turns of seconds, and on a virtual machine what a second
    brings differs by more than what is to be seen.
    """

    def __init__(self, model: Path, size: int) -> None:
        from openvino.tools.benchmark import benchmark, main

        main.logger.setLevel("ERROR")
        found: list[tuple[Any, ...]] = []
        measure = benchmark.Benchmark.main_loop

        def kept(*arguments: Any) -> Any:
            found.append(arguments)
            return measure(*arguments)

        command = [
            "benchmark_app",
            *("-m", str(model), "-d", "CPU", "-api", "sync", "-niter", "3"),
            # It takes a number of threads only without a hint; one stream is what latency's means.
            *("-hint", "none", "-nstreams", "1", "-nthreads", "1"),
            *("-infer_precision", "f32", "-ip", "f32", "-shape", f"[1,3,{size},{size}]"),
        ]
        with (
            patch.object(benchmark.Benchmark, "main_loop", kept),
            patch.object(sys, "argv", command),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            main.main()
        ((self._tool, (self.request,), self._images, *_),) = found

    def time(self, calls: int) -> NDArray[np.float64]:
        """Milliseconds of each call, as it would take the median of, in order of size."""
        self._tool.niter, self._tool.duration_seconds = calls, 0
        times, _, _ = self._tool.sync_inference(self.request, self._images)
        return np.array(times)


def _differences(ours: Any, theirs: Any) -> list[str]:
    """Every property that two requests' networks were compiled with differently."""
    mine, other = ours.get_compiled_model(), theirs.get_compiled_model()
    names = set(mine.get_property("SUPPORTED_PROPERTIES")) - {"SUPPORTED_PROPERTIES"}
    pairs = ((x, str(mine.get_property(x)), str(other.get_property(x))) for x in sorted(names))
    return [
        f"{name} is {here} here and {there} there" for name, here, there in pairs if here != there
    ]
