"""Memory and time of calibrating and converting a network, each in a process of its own.

    python benchmarks/calibrate.py                     # ResNet-50 at 224x224
    python benchmarks/calibrate.py --images 32 256     # peak memory for few and for many images
    python benchmarks/calibrate.py --mode pt2e

Prints one JSON document. Images are noise, made batch by batch, as are the weights: neither changes
what is computed. ``peak_gb`` is the process's largest resident memory, with Python and PyTorch
themselves (``imports_gb``). ``choose_s`` is what ``mode: auto`` takes to settle on a mode, which
calibration begins with; ``convert_s`` and ``export_s`` are what the stages of these names do:
tracing, fusing, making the INT8 network and the table of its modules; making it again from what was
stored, and writing it and the FP32 network as ONNX. Reading weights and images is in none.
``..._cpu_s`` is the processor time of all threads, which a busy machine changes less.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))


def peak_gb() -> float:
    """The largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(
    network: str, images: int, batch: int, size: int, observer: str, mode: str
) -> dict[str, Any]:
    """One calibration and conversion in this process."""
    import torch
    from torch import Tensor, nn
    from torchvision import models

    from schemas.convert import QuantizationConfig
    from schemas.export import ExportConfig
    from tasks.calibrate.observe import observe
    from tasks.convert.quantize import quantize
    from tasks.export.to_onnx import export_onnx
    from tasks.models.choose import choose, example_of
    from tasks.models.int8 import load_int8

    imports = peak_gb()
    example = example_of((3, size, size))

    def build() -> nn.Module:
        """A network that no stage has seen before, always with the same weights."""
        torch.manual_seed(0)
        model: nn.Module = models.get_model(network, weights=None)
        return model.eval()

    model = build()
    started = time.perf_counter()
    asked = QuantizationConfig.model_validate({"mode": mode, "observer": observer})
    config = asked.model_copy(update={"mode": choose(model, asked, example).mode})
    choose_s = time.perf_counter() - started
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def batches() -> Iterator[Tensor]:
        noise = torch.Generator().manual_seed(0)
        for start in range(0, images, batch):
            yield torch.randn(min(batch, images - start), 3, size, size, generator=noise)

    started, worked = time.perf_counter(), time.process_time()
    table = observe(model, batches(), config, images_sha256="", device=device)
    calibrate_s = time.perf_counter() - started
    calibrate_cpu_s = time.process_time() - worked
    calibrated = peak_gb()
    del model
    fresh, again = build(), build()
    started, worked = time.perf_counter(), time.process_time()
    state, _ = quantize(fresh, config, table, example)
    convert_s = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as name:
        folder, shape = Path(name), (3, size, size)
        (folder / "int8.pt").write_bytes(state)
        started = time.perf_counter()
        int8, exporter = load_int8(again, config, folder / "int8.pt", shape)
        export_onnx(int8, shape, ExportConfig(), folder / "int8.onnx", exporter)
        export_onnx(again, shape, ExportConfig(), folder / "float32.onnx", exporter)
        export_s = time.perf_counter() - started
    convert_cpu_s = time.process_time() - worked
    return {
        "network": network,
        "images": images,
        "batch": batch,
        "mode": config.mode,
        "observer": observer,
        "device": device,
        "threads": torch.get_num_threads(),
        "imports_gb": round(imports, 2),
        "calibrate_peak_gb": round(calibrated, 2),
        "peak_gb": round(peak_gb(), 2),
        "choose_s": round(choose_s, 2),
        "calibrate_s": round(calibrate_s, 2),
        "images_per_second": round(images / calibrate_s, 1),
        "calibrate_cpu_s": round(calibrate_cpu_s, 2),
        "convert_s": round(convert_s, 2),
        "export_s": round(export_s, 2),
        "convert_and_export_cpu_s": round(convert_cpu_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="resnet50", help="of torchvision.models")
    parser.add_argument("--images", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--observer", default="histogram")
    parser.add_argument("--mode", default="eager", choices=("auto", "eager", "fx", "pt2e"))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        images = given.images[0]
        found = measure(given.network, images, given.batch, given.size, given.observer, given.mode)
        print(json.dumps(found))
        return
    common = ["--network", given.network, "--batch", str(given.batch), "--size", str(given.size)]
    results = []
    for images in given.images:
        command = [sys.executable, __file__, "--here", "--images", str(images), *common]
        command += ["--observer", given.observer, "--mode", given.mode]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(done.stdout.strip().splitlines()[-1]))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
