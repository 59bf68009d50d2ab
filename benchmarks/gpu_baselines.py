"""PyTorch on a GPU, timed by the project's own harness and by CUDA events beside it.

    python benchmarks/gpu_baselines.py --out results

What an INT8 engine has to beat on the same card: ResNet-18 and ResNet-50 in eager mode (FP32, TF32,
FP16, channels-last), with BatchNorm folded, as CUDA graphs and through torch.compile, at 32x32 and
224x224, batch 1, 8 and 64. All of a size alternate in blocks in one process. Each is timed twice:

- ``harness``: tasks.profiling.alternate over a Session, the wall clock around one call and its
  synchronisation, which is what a caller waits for;
- ``events``: CUDA events around the same call in the same way, read after the block;
- ``queued``: one pair of events around a block of calls that do not wait for each other, a call's
  share of it: what the GPU can do when it is kept fed.

Harness less events is what the harness, the synchronisation and the Python call itself add. Images
lie on the GPU already, for all alike. Weights and images are random: times do not depend on the
values here, and the logits are compared with FP32's. Needs torch, torchvision and pydantic.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from schemas.profiling import ProfileConfig
from tasks.profiling.alternate import alternate, latency_of
from tasks.profiling.machine import describe_machine
from tasks.runtimes.clock import time_calls

CLASSES = {32: 10, 224: 1000}


class CudaSession:
    """A network on the GPU, as tasks.runtimes.protocol.Session has the engines."""

    def __init__(self, call: Callable[[Tensor], Tensor], form: "Form") -> None:
        self.form = form
        self._call = call

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``float32[N, classes]`` of images ``float32[N, C, H, W]``."""
        with torch.inference_mode(), self.form.arithmetic():
            logits = self._call(self.form.images(batch))
            return cast(NDArray[np.float32], logits.float().cpu().numpy())

    def time(self, batch: NDArray[np.float32], calls: int) -> NDArray[np.float64]:
        """Milliseconds of each of ``calls`` calls, images on the GPU: ``float64[calls]``."""
        images = self.form.images(batch)

        def call() -> None:
            self._call(images)
            torch.cuda.synchronize()

        with torch.inference_mode(), self.form.arithmetic():
            torch.cuda.synchronize()
            return time_calls(call, calls)

    def time_by_events(self, batch: NDArray[np.float32], calls: int) -> NDArray[np.float64]:
        """As ``time``, by a pair of CUDA events around each call."""
        images = self.form.images(batch)
        pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(calls)]
        with torch.inference_mode(), self.form.arithmetic():
            torch.cuda.synchronize()
            for start, end in pairs:
                start.record()
                self._call(images)
                end.record()
                torch.cuda.synchronize()
        return np.array([start.elapsed_time(end) for start, end in pairs])

    def time_queued(self, batch: NDArray[np.float32], calls: int) -> float:
        """Milliseconds a call where none waits for the one before it."""
        images = self.form.images(batch)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.inference_mode(), self.form.arithmetic():
            torch.cuda.synchronize()
            start.record()
            for _ in range(calls):
                self._call(images)
            end.record()
            torch.cuda.synchronize()
        return start.elapsed_time(end) / calls


@dataclass(frozen=True)
class Form:
    """How numbers are held and multiplied."""

    name: str
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    tf32: bool = False

    def images(self, batch: NDArray[np.float32]) -> Tensor:
        """The images on the GPU in this form."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return torch.from_numpy(batch).cuda().to(self.dtype).contiguous(memory_format=layout)

    def network(self, model: nn.Module) -> nn.Module:
        """A copy of a network on the GPU in this form."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return copy.deepcopy(model).cuda().to(self.dtype).to(memory_format=layout).eval()

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """PyTorch's process-wide TF32 switches, as this form wants them."""
        convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
        before = convolutions.allow_tf32, products.allow_tf32
        convolutions.allow_tf32 = products.allow_tf32 = self.tf32
        try:
            yield
        finally:
            convolutions.allow_tf32, products.allow_tf32 = before


def contenders(
    model: nn.Module, batch: NDArray[np.float32], compiled: bool
) -> dict[str, CudaSession]:
    """Every way of running one network at one size; each has been called, so nothing is cold."""
    float32, tf32 = Form("float32"), Form("tf32", tf32=True)
    half = Form("float16", torch.float16)
    nhwc = Form("float16", torch.float16, channels_last=True)
    folded = nhwc.network(fuse(copy.deepcopy(model).eval()))
    sessions = {
        "eager FP32": CudaSession(float32.network(model), float32),
        "eager TF32": CudaSession(tf32.network(model), tf32),
        "eager FP16": CudaSession(half.network(model), half),
        "eager FP16 channels-last": CudaSession(nhwc.network(model), nhwc),
        "eager FP16 channels-last folded": CudaSession(folded, nhwc),
        "graph FP32": CudaSession(graph(float32.network(model), float32, batch), float32),
        "graph FP16 channels-last": CudaSession(graph(nhwc.network(model), nhwc, batch), nhwc),
        "graph FP16 channels-last folded": CudaSession(graph(folded, nhwc, batch), nhwc),
    }
    if compiled:
        torch._dynamo.reset()
        fast = torch.compile(folded, dynamic=False)
        sessions["compile FP16 channels-last folded"] = CudaSession(fast, nhwc)
        sessions["compile + graph FP16 channels-last folded"] = CudaSession(
            graph(fast, nhwc, batch), nhwc
        )
    for session in sessions.values():
        session.time(batch, 3)
    return sessions


@dataclass(frozen=True)
class Replay:
    """A captured graph with everything it reads: it has addresses only, and keeps nothing alive."""

    network: Callable[[Tensor], Tensor]
    captured: torch.cuda.CUDAGraph
    images: Tensor
    logits: Tensor

    def __call__(self, new: Tensor) -> Tensor:
        self.images.copy_(new)
        self.captured.replay()
        return self.logits


def graph(
    network: Callable[[Tensor], Tensor], form: Form, batch: NDArray[np.float32]
) -> Callable[[Tensor], Tensor]:
    """A network captured as a CUDA graph; a call copies the images in and replays it.

    The logits it returns are overwritten by the next call.
    """
    images = form.images(batch)
    side = torch.cuda.Stream()
    with torch.inference_mode(), form.arithmetic():
        # Unrecorded calls choose algorithms and compile, which a capture must not.
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                network(images)
        torch.cuda.current_stream().wait_stream(side)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            logits = network(images)

    return Replay(network, captured, images, logits)


def measure(
    name: str, size: int, batch_size: int, config: ProfileConfig, compiled: bool
) -> list[dict[str, Any]]:
    """One row a contender."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(num_classes=CLASSES[size]).eval()
    batch = np.random.default_rng(0).standard_normal((batch_size, 3, size, size), np.float32)
    sessions = contenders(model, batch, compiled)
    expected = sessions["eager FP32"].infer(batch)
    times = alternate(sessions, batch, config, f"{name} {size} {batch_size}")
    rows = []
    for label, session in sessions.items():
        latency = latency_of(label, session.form.name, 0, batch_size, times[label])
        session.time(batch, config.warmup_calls)
        events = np.concatenate(
            [session.time_by_events(batch, config.calls) for _ in range(config.rounds)]
        )
        error = np.linalg.norm(session.infer(batch) - expected) / np.linalg.norm(expected)
        rows.append(
            {"network": name, "size": size}
            | latency.model_dump()
            | {
                "events_median_ms": float(np.median(events)),
                "queued_ms": session.time_queued(batch, config.calls * config.rounds),
                "relative_error": float(error),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1e9, help="start no size after so long")
    parser.add_argument(
        "--compile-seconds", type=float, default=1e9, help="no torch.compile after so long"
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--networks", nargs="+", default=["resnet18", "resnet50"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    # Each contender and size has its own shapes, fixed for the whole run.
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = 4
    config = ProfileConfig(rounds=7, warmup_calls=10, calls=40)
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
    for size in CLASSES:
        for name in options.networks:
            for batch_size in options.batches:
                if time.perf_counter() - started > options.seconds:
                    results["left_out"] = [*results.get("left_out", []), [name, size, batch_size]]
                    continue
                compiled = time.perf_counter() - started < options.compile_seconds
                rows = measure(name, size, batch_size, config, compiled)
                results["rows"] += rows
                (options.out / "gpu-baselines.json").write_text(json.dumps(results, indent=1))
                for row in rows:
                    print(
                        f"{name} {size} batch {batch_size:<3} {row['name']:<42}"
                        f" harness {row['median_ms']:7.3f} events {row['events_median_ms']:7.3f}"
                        f" queued {row['queued_ms']:7.3f} error {row['relative_error']:.1e}",
                        flush=True,
                    )
                print(f"{time.perf_counter() - started:.0f} s", flush=True)
    (options.out / "gpu-baselines.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
