"""Is the harness itself right? Each part prints its figures and exits 1 where a bound is broken.

    python benchmarks/latency.py [overhead] [app] [memory] [same] [sweep] [--json FILE]

- ``overhead``: wall time a call of tasks.profiling.alternate over a session that does nothing: at
  most 5 us. What the statistics of so many calls take afterwards is shown beside it.
- ``app``: median latency of ResNet-18 plans here and in OpenVINO's own ``benchmark_app`` on the
  same IR, compiled with equal properties, one call at a time, in alternating blocks of one process:
  within 5 % of each other. What is compared is what OpenVINO says a request took, which is all that
  ``benchmark_app`` shows; how much longer the whole call from Python takes is printed beside it.
- ``memory``: 10,000 calls of an OpenVINO session: Python keeps nothing, the process does not grow.
- ``same``: a plan against itself: the interval of the ratio holds 1.
- ``sweep``: INT8 against FP32 on OpenVINO over batch and image sizes; figures only, no bound.

Weights and images are random: times do not depend on them here. Nothing else should be running.
"""

import argparse
import gc
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx
import torch
import torchvision
from latency_app import beside_app
from numpy.typing import NDArray

from schemas.convert import QuantizationConfig
from schemas.engine import OpenVinoConfig
from schemas.export import ExportConfig
from schemas.profiling import ProfileConfig
from tasks.calibrate.observe import observe
from tasks.export.to_onnx import export_onnx
from tasks.models.eager import convert_with_table
from tasks.models.quiet import quiet
from tasks.profiling.alternate import alternate
from tasks.profiling.distribution import latency_of, ratio_with_interval
from tasks.profiling.machine import describe_machine
from tasks.profiling.standalone import Request, profile_request
from tasks.runtimes.clock import time_calls
from tasks.runtimes.openvino import OpenVinoRuntime, OpenVinoSession
from tasks.surgery.repair import repair

MOST_OVERHEAD_US = 5.0
MOST_DIFFERENCE = 0.05
CALLS = 10_000


class Nothing:
    """A session whose calls do nothing."""

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return batch

    def time(self, batch: NDArray[np.float32], calls: int) -> NDArray[np.float64]:  # noqa: ARG002
        return time_calls(_nothing, calls)


def _nothing() -> None:
    pass


def overhead() -> tuple[dict[str, Any], list[str]]:
    """Microseconds a call of a whole measurement of nothing."""
    batch = np.zeros((1, 3, 32, 32), np.float32)
    config = ProfileConfig(rounds=15, warmup_calls=15, calls=60)
    found = []
    for _ in range(21):
        started = time.perf_counter_ns()
        times = alternate({"a": Nothing(), "b": Nothing()}, batch, config, "nothing")
        took = time.perf_counter_ns() - started
        found.append(took / 1000 / (2 * 15 * 75))
    ratio_with_interval(times["a"], times["b"])  # once unmeasured: NumPy loads what it needs
    alone = time.perf_counter_ns()
    for name in times:
        latency_of(name, "none", 1, 1, times[name])
    ratio_with_interval(times["a"], times["b"])
    statistics_ms = (time.perf_counter_ns() - alone) / 1e6
    figures = {
        "us_a_call": round(float(np.median(found)), 3),
        "reported_us": round(1000 * float(np.median(times["a"])), 3),
        "statistics_ms": round(statistics_ms, 2),
    }
    taken = figures["us_a_call"]
    broken = [] if taken <= MOST_OVERHEAD_US else [f"overhead: {taken:.2f} us a call"]
    return figures, broken


def graphs(size: int, folder: Path) -> tuple[Path, Path]:
    """torchvision's ResNet-18 as ONNX: FP32, and INT8 as surgery leaves it for OpenVINO."""
    torch.manual_seed(0)
    with quiet():
        model = torchvision.models.quantization.resnet18(weights=None, quantize=False).eval()
    config = QuantizationConfig(observer="minmax")
    shape = (3, size, size)
    table = observe(model, [torch.randn(4, *shape)], config, images_sha256="0" * 64)
    float_file, raw_file = folder / f"float-{size}.onnx", folder / f"raw-{size}.onnx"
    export_onnx(model, shape, ExportConfig(), float_file)
    export_onnx(convert_with_table(model, config, table), shape, ExportConfig(), raw_file)
    repaired, _ = repair(onnx.load(raw_file), "openvino")
    int8_file = folder / f"int8-{size}.onnx"
    onnx.save(repaired, int8_file)
    return float_file, int8_file


def plan_of(graph: Path) -> Path:
    plan = graph.with_suffix(".plan")
    OpenVinoRuntime().build(graph, plan, OpenVinoConfig())
    return plan


def app() -> tuple[dict[str, Any], list[str]]:
    """Ours and benchmark_app's medians, in alternating blocks."""
    rows, broken = {}, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, calls in ((32, 60), (224, 4)):
            for graph in graphs(size, folder):
                row = beside_app(plan_of(graph), size, calls)
                rows[graph.stem] = row
                print(graph.stem, row, flush=True)
                for found in row["compiled_otherwise"]:
                    broken.append(f"app: {graph.stem} is compiled otherwise: {found}")
                if abs(row["difference"]) > MOST_DIFFERENCE:
                    broken.append(
                        f"app: {graph.stem} is {row['difference']:+.1%} of benchmark_app's"
                    )
    return rows, broken


def memory() -> tuple[dict[str, Any], list[str]]:
    """Bytes that Python and the process keep of 10,000 calls."""
    with tempfile.TemporaryDirectory() as name:
        _, int8 = graphs(32, Path(name))
        session = OpenVinoSession(plan_of(int8), threads=1)
        images = np.zeros((1, 3, 32, 32), np.float32)
        tracemalloc.start()
        session.time(images, CALLS // 5)
        gc.collect()
        # Python keeps some freed objects for the next call, once; a collection drops those.
        session.time(images, CALLS // 5)
        resident = resident_bytes()
        before = tracemalloc.get_traced_memory()[0]
        times = session.time(images, CALLS)
        kept = tracemalloc.get_traced_memory()[0] - before - times.nbytes
        tracemalloc.stop()
        grown = resident_bytes() - resident
    figures = {"calls": CALLS, "python_bytes_kept": kept, "resident_bytes_grown": grown}
    broken = []
    if kept > 16_384:
        broken.append(f"memory: Python keeps {kept} bytes")
    if grown > 4 << 20:
        broken.append(f"memory: the process grew by {grown} bytes")
    return figures, broken


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def same() -> tuple[dict[str, Any], list[str]]:
    """The ratio of a plan to itself, ten times over."""
    with tempfile.TemporaryDirectory() as name:
        _, int8 = graphs(32, Path(name))
        plan = plan_of(int8)
        images = np.zeros((1, 3, 32, 32), np.float32)
        intervals = []
        for _ in range(10):
            pair = {x: OpenVinoSession(plan, threads=1) for x in "ab"}
            times = alternate(pair, images, ProfileConfig(), "same")
            intervals.append([round(x, 4) for x in ratio_with_interval(times["a"], times["b"])])
    held = sum(low <= 1 <= high for _, low, high in intervals)
    # At 95 %, fewer than eight of ten would happen once in a hundred.
    broken = [] if held >= 8 else [f"same: only {held} of 10 intervals hold 1"]
    return {"ratio_low_high": intervals, "hold_1": held}, broken


def sweep() -> tuple[dict[str, Any], list[str]]:
    """INT8 over FP32 by batch and image size, one thread."""
    rows, medians, notes = [], {}, []
    with tempfile.TemporaryDirectory() as name:
        float_file, int8_file = graphs(32, Path(name))
        # Short turns and many: what drifts within a round is what widens an interval.
        for size, calls in {32: 40, 64: 20, 96: 10, 128: 6, 224: 3}.items():
            config = ProfileConfig(
                rounds=15, warmup_calls=-(-calls // 4), calls=calls, threads=(1,), baselines=()
            )
            request = Request(
                int8_file, others=(str(float_file),), batch_sizes=(1, 8), image_sizes_px=(size,)
            )
            report = profile_request(request, config)
            rows += [ratio.model_dump(mode="json") for ratio in report.ratios]
            for x in report.ratios:
                found = f"{x.ratio:.2f} ({x.ratio_low:.2f} to {x.ratio_high:.2f})"
                print(f"batch {x.batch_size} {size} px: {found}", flush=True)
            notes += [f"{size} px: {note}" for note in report.notes]
            for row in report.latencies:
                key = f"{row.precision} batch {row.batch_size} {size} px"
                medians[key] = round(row.median_ms, 3)
    figures = {"ratios": rows, "median_ms": medians, "notes": notes}
    return figures | {
        "grows_from_32_to_224_px": {batch: _grows(rows, batch) for batch in (1, 8)}
    }, []


def _grows(rows: list[dict[str, Any]], batch: int) -> str:
    """Whether the ratio at the largest image is beyond that at the smallest, by the intervals."""
    first, *_, last = (row for row in rows if row["batch_size"] == batch)
    if last["ratio_low"] > first["ratio_high"]:
        return "yes"
    return "no, it falls" if last["ratio_high"] < first["ratio_low"] else "not shown"


PARTS: dict[str, Callable[[], tuple[dict[str, Any], list[str]]]] = {
    "overhead": overhead,
    "app": app,
    "memory": memory,
    "same": same,
    "sweep": sweep,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    figures: dict[str, Any] = {"machine": describe_machine()}
    broken: list[str] = []
    for name in options.parts or PARTS:
        figures[name], more = PARTS[name]()
        print(f"{name}: {json.dumps(figures[name])}", flush=True)
        broken += more
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    for line in broken:
        print(f"BROKEN: {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
