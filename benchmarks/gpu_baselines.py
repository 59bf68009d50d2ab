"""PyTorch on a GPU, timed by the project's own harness and by CUDA events beside it.

    python benchmarks/gpu_baselines.py --out results
    python benchmarks/gpu_baselines.py --out results --table raw_median_ms

What an INT8 engine has to beat on the same card: ResNet-18 and ResNet-50 in eager mode (FP32, TF32,
FP16, channels-last), with BatchNorm folded, as CUDA graphs and through torch.compile, at 32x32 and
224x224, batch 1, 8 and 64. All of a size alternate in blocks in one process, and each is measured
in three ways:

- ``harness``: tasks.profiling.alternate over a TorchCudaSession, the wall clock around one call
  from pinned memory to pinned memory, which is what a caller waits for;
- its parts by CUDA events between them: copy in, compute, copy out, and the queueing on the CPU;
- ``raw``: a pair of CUDA events around the same network's call and nothing else, images on the GPU.

Weights and images are random: times do not depend on the values here, and the logits are compared
with FP32's. Needs torch, torchvision and pydantic.
"""

import argparse
import copy
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from schemas.profiling import ProfileConfig
from tasks.profiling.alternate import alternate
from tasks.profiling.clocks import ClockWatch
from tasks.profiling.distribution import latency_of
from tasks.profiling.machine import describe_machine
from tasks.runtimes.torch_cuda import Form, TorchCudaSession

CLASSES = {32: 10, 224: 1000}


@dataclasses.dataclass(frozen=True)
class Way:
    """One way of running a network, as a session and bare."""

    session: TorchCudaSession
    network: Callable[[Tensor], Tensor]

    def raw_ms(self, batch: NDArray[np.float32], calls: int) -> float:
        """Median of a pair of CUDA events around each call, images on the GPU already."""
        form = self.session.form
        images = torch.from_numpy(batch).cuda().to(form.dtype).contiguous(memory_format=form.layout)
        pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(calls)]
        with torch.inference_mode(), form.arithmetic():
            run = replay(self.network, images) if form.graph else lambda: self.network(images)
            for _ in range(5):
                run()
            for start, end in pairs:
                start.record()
                run()
                end.record()
                torch.cuda.synchronize()
        return float(np.median([start.elapsed_time(end) for start, end in pairs]))


def replay(network: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], object]:
    """A network captured as a CUDA graph, by PyTorch's own means."""
    network(images)
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        logits = network(images)
    # The graph knows addresses only, and keeps nothing alive.
    return lambda: (captured.replay(), logits, images)


def ways(model: nn.Module, compiled: bool) -> dict[str, Way]:
    """Every way of running one network."""
    half, nhwc = Form("float16", torch.float16), Form("float16", torch.float16, channels_last=True)
    recorded = dataclasses.replace(nhwc, graph=True)
    folded = fuse(copy.deepcopy(model).eval())
    forms = {
        "eager FP32": (model, Form("float32")),
        "eager TF32": (model, Form("tf32", tf32=True)),
        "eager FP16": (model, half),
        "eager FP16 channels-last": (model, nhwc),
        "eager FP16 channels-last folded": (folded, nhwc),
        "graph FP32": (model, Form("float32", graph=True)),
        "graph FP16 channels-last": (model, recorded),
        "graph FP16 channels-last folded": (folded, recorded),
    }
    found = {}
    for name, (source, form) in forms.items():
        network = form.network(copy.deepcopy(source))
        found[name] = Way(TorchCudaSession(network, form), network)
    if compiled:
        torch._dynamo.reset()
        fast = torch.compile(nhwc.network(copy.deepcopy(folded)), dynamic=False)
        for name, form in (("compile", nhwc), ("compile + graph", recorded)):
            found[f"{name} FP16 channels-last folded"] = Way(TorchCudaSession(fast, form), fast)
    return found


def measure(
    name: str, size: int, batch_size: int, config: ProfileConfig, compiled: bool, watch: ClockWatch
) -> list[dict[str, Any]]:
    """One row a way."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(num_classes=CLASSES[size]).eval()
    batch = np.random.default_rng(0).standard_normal((batch_size, 3, size, size), np.float32)
    found = ways(model, compiled)
    sessions = {label: way.session for label, way in found.items()}
    expected = sessions["eager FP32"].infer(batch)
    label = f"{name} {size} {batch_size}"
    times = alternate(sessions, batch, config, label, between=watch.sample)
    rows = []
    for label, way in found.items():
        session = way.session
        phases = session.time_phases(batch, config.calls * 2)
        latency = latency_of(label, session.form.name, 0, batch_size, times[label], phases=phases)
        error = np.linalg.norm(session.infer(batch) - expected) / np.linalg.norm(expected)
        session.close()
        rows.append(
            {"network": name, "size": size}
            | latency.model_dump()
            | {
                "raw_median_ms": way.raw_ms(batch, config.calls * 2),
                "relative_error": float(error),
            }
        )
    return rows


def table(results: dict[str, Any], figure: str) -> str:
    """One figure of every way as Markdown, a row for each network, size and batch."""
    names = list(dict.fromkeys(row["name"] for row in results["rows"]))
    lines = [
        "| network | size | batch | " + " | ".join(names) + " |",
        "|---" * (3 + len(names)) + "|",
    ]
    cells: dict[tuple[str, int, int], dict[str, float]] = {}
    for row in results["rows"]:
        place = (row["network"], row["size"], row["batch_size"])
        cells.setdefault(place, {})[row["name"]] = row[figure]
    for place, found in cells.items():
        figures = [f"{found[name]:.3f}" if name in found else "" for name in names]
        lines.append("| " + " | ".join([*map(str, place), *figures]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1e9, help="start no size after so long")
    parser.add_argument(
        "--compile-seconds", type=float, default=1e9, help="no torch.compile after so long"
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--networks", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(CLASSES))
    parser.add_argument(
        "--table", metavar="FIGURE", help="measure nothing, print a figure of --out"
    )
    options = parser.parse_args()
    if options.table:
        found = json.loads((options.out / "gpu-baselines.json").read_text())
        print(table(found, options.table))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    # Each way and size has its own shapes, fixed for the whole run.
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = 4
    config = ProfileConfig(rounds=7, warmup_calls=10, calls=40)
    watch = ClockWatch(on_gpu=True)
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "profile": config.model_dump(mode="json"),
        "rows": [],
    }
    started = time.perf_counter()
    for size in options.sizes:
        for name in options.networks:
            for batch_size in options.batches:
                if time.perf_counter() - started > options.seconds:
                    results["left_out"] = [*results.get("left_out", []), [name, size, batch_size]]
                    continue
                compiled = time.perf_counter() - started < options.compile_seconds
                rows = measure(name, size, batch_size, config, compiled, watch)
                results["rows"] += rows
                clocks = watch.report()
                results["clocks"] = None if clocks is None else clocks.model_dump()
                (options.out / "gpu-baselines.json").write_text(json.dumps(results, indent=1))
                for row in rows:
                    parts = {part["phase"]: part["median_ms"] for part in row["phases"]}
                    print(
                        f"{name} {size} batch {batch_size:<3} {row['name']:<42}"
                        f" harness {row['median_ms']:7.3f} raw {row['raw_median_ms']:7.3f}"
                        f" compute {parts['compute']:7.3f} in {parts['h2d']:6.3f}"
                        f" out {parts['d2h']:6.3f} error {row['relative_error']:.1e}",
                        flush=True,
                    )
                print(f"{time.perf_counter() - started:.0f} s, {results['clocks']}", flush=True)


if __name__ == "__main__":
    main()
