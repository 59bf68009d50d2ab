"""Plans for GPUs that are not here: how long they take to build, how big they are, what runs INT8.

    python benchmarks/engines.py [--json FILE]

ResNet-18, ResNet-50 and MobileNetV2 go through eager mode, export and surgery, then
TensorRT for RTX builds an INT8 plan of each for compute capability 8.0, 8.6, 8.9 and 12.0, and one
FP32 and one FP16 plan for 8.6. Weights and calibration images are random: the figures are about
compiling, not about accuracy. Nothing is run: there is no GPU.

Exit status 1 where a bound does not hold: all INT8 plans together within 60 s, every INT8 plan at
most 0.35 of its FP32 plan's size, every convolution INT8, and the same bytes when built again.

MobileNetV2's plan cannot be that small, and is held to the bound as zlib packs it: TensorRT for RTX
puts the source text of every generated kernel into the plan, one for each requantization, and each
with the same 128 kB of the compiler's own definitions before it. They are counted: should they one
day leave room for the weights, the exit status is 1 as well, for then the plan has to hold the
bound as it is.
"""

import argparse
import json
import re
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnx
import torch
import torchvision

from schemas.convert import QuantizationConfig
from schemas.engine import Manifest, Precision, TensorRtRtxConfig
from schemas.export import ExportConfig
from tasks.calibrate.observe import observe
from tasks.engine.build import build_engine
from tasks.export.to_onnx import export_onnx
from tasks.models.quantizer import quantizer
from tasks.models.quiet import quiet
from tasks.surgery.repair import repair

MODELS = ("resnet18", "resnet50", "mobilenet_v2")
CAPABILITIES = ("8.0", "8.6", "8.9", "12.0")
SIZE = 224
MOST_SECONDS = 60.0
MOST_OF_FLOAT_SIZE = 0.35
HELD_PACKED = ("mobilenet_v2",)
# What TensorRT for RTX 1.7 writes between its own definitions and a kernel's source.
DEFINITIONS_END = b"/*__MYELIN_NVRTC_KGEN_BUILTINS_END__*/"
NO_TEXT = re.compile(rb"[^\t\n\r -~]")


def graphs(name: str, folder: Path) -> tuple[Path, Path]:
    """A torchvision network as ONNX: float32, and INT8 as surgery leaves it."""
    torch.manual_seed(0)
    with quiet():
        model = getattr(torchvision.models, name)(weights=None).eval()
    config = QuantizationConfig(observer="minmax")
    shape = (3, SIZE, SIZE)
    table = observe(model, [torch.randn(4, *shape)], config, images_sha256="0" * 64)
    float_file, raw_file = folder / f"{name}.onnx", folder / f"{name}-raw.onnx"
    export_onnx(model, shape, ExportConfig(), float_file)
    int8 = quantizer("eager").convert_with_table(model, config, table, torch.randn(2, *shape))
    export_onnx(int8, shape, ExportConfig(), raw_file)
    repaired, _ = repair(onnx.load(raw_file), "tensorrt_rtx")
    int8_file = folder / f"{name}-int8.onnx"
    onnx.save(repaired, int8_file)
    return float_file, int8_file


def build(graph: Path, precision: Precision, capability: str) -> tuple[Manifest, dict[str, Any]]:
    plan = graph.with_suffix(".plan")
    options = TensorRtRtxConfig(compute_capability=capability)
    started = time.perf_counter()
    manifest, layers = build_engine(graph, "tensorrt_rtx", precision, options, plan)
    blob = plan.read_bytes()
    return manifest, {
        "precision": precision,
        "compute_capability": capability,
        "seconds": round(time.perf_counter() - started, 2),
        "plan_bytes": manifest.plan_bytes,
        "packed_bytes": len(zlib.compress(blob, 1)),
        "kernel_sources": blob.count(DEFINITIONS_END),
        "definitions_bytes": sum(definitions(blob)),
        "kernels": layers.kernels,
        "integer_convolutions": len(layers.integer_convolutions),
        "float_convolutions": len(layers.float_convolutions),
        "peak_memory_bytes": manifest.peak_memory_bytes,
    }


def definitions(plan: bytes) -> list[int]:
    """Bytes of text before each kernel source, down to what is no text."""
    return [len(NO_TEXT.split(part)[-1]) for part in plan.split(DEFINITIONS_END)[:-1]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            float_graph, int8_graph = graphs(name, Path(folder))
            _, baseline = build(float_graph, "float32", "8.6")
            rows += [{"model": name, **baseline}]
            rows += [{"model": name, **build(float_graph, "float16", "8.6")[1]}]
            for capability in CAPABILITIES:
                manifest, row = build(int8_graph, "int8", capability)
                for size in ("plan", "packed"):
                    share = row[f"{size}_bytes"] / baseline[f"{size}_bytes"]
                    row[f"{size}_of_float"] = round(share, 3)
                share = row["definitions_bytes"] / baseline["plan_bytes"]
                row["definitions_of_float"] = round(share, 3)
                rows.append({"model": name, **row})
                share = row["packed_of_float" if name in HELD_PACKED else "plan_of_float"]
                if name in HELD_PACKED and row["definitions_of_float"] < MOST_OF_FLOAT_SIZE:
                    broken.append(f"{name} {capability}: there is room to hold its plain size")
                if share > MOST_OF_FLOAT_SIZE:
                    broken.append(f"{name} {capability}: {share} of FP32's size")
                if row["float_convolutions"] or not row["integer_convolutions"]:
                    broken.append(f"{name} {capability}: {row['float_convolutions']} float convs")
            again, _ = build(int8_graph, "int8", CAPABILITIES[-1])
            if again.plan_sha256 != manifest.plan_sha256:
                broken.append(f"{name}: building again gave other bytes")
    total = sum(row["seconds"] for row in rows if row["precision"] == "int8")
    if total > MOST_SECONDS:
        broken.append(f"INT8 plans took {total:.1f} s together")
    _print(rows, total)
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, "int8_seconds": total}, indent=2))
    for line in broken:
        print(f"BROKEN: {line}")
    return 1 if broken else 0


def _print(rows: list[dict[str, Any]], total: float) -> None:
    columns = {
        "model": "model",
        "precision": "precision",
        "compute_capability": "SM",
        "seconds": "s",
        "plan_bytes": "bytes",
        "plan_of_float": "of FP32",
        "packed_of_float": "of FP32, packed",
        "kernel_sources": "sources",
        "definitions_of_float": "definitions of FP32",
        "kernels": "kernels",
        "integer_convolutions": "INT8 convs",
        "float_convolutions": "float convs",
    }
    print("| " + " | ".join(columns.values()) + " |")
    print("|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(str(row.get(key, "")) for key in columns) + " |")
    print(f"\n{total:.1f} s for all INT8 plans")


if __name__ == "__main__":
    sys.exit(main())
