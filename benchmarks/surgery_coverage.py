"""Surgery's promises on every network that it is made for, in each of PyTorch's ways to quantize.

    python benchmarks/surgery_coverage.py [--models resnet18 ...] [--modes eager fx pt2e]

Each network is quantized as a job does it, exported with an open batch, and repaired for every
target. What must hold, or the exit status is 1: passes that keep values are bit-equal, a second run
changes not a byte, inputs and outputs stay as they were, the lint finds nothing, and TensorRT for
RTX compiles the graph, as INT8 and as INT8 with FP16, without a float convolution. What PyTorch
cannot export is said, and is no failure of surgery's. Weights are random, images noise: nothing
here is about accuracy or latency.
"""

import argparse
import contextlib
import logging
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnx
import torch
from torch import nn
from torchvision.models import VisionTransformer
from zoo_networks import UNet, make

from schemas.base import Target
from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig, QuantizedMode
from schemas.engine import LayerTable, TensorRtRtxConfig
from schemas.errors import InputError
from schemas.surgery import Precision, SurgeryConfig
from tasks.engine.build import build_engine
from tasks.models.exporter import write_onnx
from tasks.models.quantizer import quantizer
from tasks.surgery.lint import lint
from tasks.surgery.parity import prove
from tasks.surgery.repair import repair

SIZE = 64
NETWORKS = (
    *("resnet18", "resnet50", "resnet152", "mobilenet_v2", "mobilenet_v3_large", "googlenet"),
    *("densenet121", "regnet_y_400mf", "efficientnet_b0", "unet", "small_vit"),
)
MODES: tuple[QuantizedMode, ...] = ("eager", "fx", "pt2e")
TARGETS: tuple[Target, ...] = get_args(Target)
PRECISIONS: tuple[Precision, ...] = ("int8", "int8+fp16")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=NETWORKS)
    parser.add_argument("--modes", nargs="+", default=MODES)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    heads = ("network", "mode", "nodes", "after, RTX", "lint before", "kernels", "with FP16")
    print("| " + " | ".join((*heads, "broken")) + " |\n" + "|---" * (len(heads) + 1) + "|")
    failures = 0
    for name in arguments.models:
        for mode in arguments.modes:
            try:
                # The exporter prints the whole graph where it gives up.
                with contextlib.redirect_stdout(sys.stderr):
                    given = exported(name, mode)
            except InputError as error:
                row: dict[str, Any] = {"stopped": f"not exported: {str(error)[:120]}"}
            else:
                row = promises(*given)
                failures += bool(row["broken"])
            said = row.pop("broken", None) or row.pop("stopped", "")
            cells = (name, mode, *row.values(), *[""] * (5 - len(row)), said)
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    sys.exit(1 if failures else 0)


def exported(name: str, mode: QuantizedMode) -> tuple[onnx.ModelProto, torch.Tensor, Any]:
    """The raw export, images and the INT8 network's logits for them."""
    images = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    model, config = network(name, images), QuantizationConfig(mode=mode, observer="minmax")
    ways = quantizer(mode)
    prepared = ways.prepare(model, config, images[:2])
    with torch.inference_mode():
        prepared(images)
    ranges = ways.read_ranges(prepared)
    table = CalibrationTable(images=len(images), images_sha256="", tensors=ranges)
    int8 = ways.convert_with_table(model, config, table, images[:2])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "raw.onnx"
        write_onnx(int8, images[:2], file, ways.exporter, opset=17, dynamic_batch=True)
        with torch.inference_mode():
            return onnx.load(file), images, int8(images).numpy()


def network(name: str, images: torch.Tensor) -> nn.Module:
    if name not in ("unet", "small_vit"):
        return make(name, SIZE, images)
    torch.manual_seed(0)
    vit = {"patch_size": 16, "num_layers": 4, "num_heads": 4, "hidden_dim": 128, "mlp_dim": 256}
    made: nn.Module = UNet() if name == "unet" else VisionTransformer(SIZE, **vit)
    made.train()
    with torch.no_grad():
        made(images)
    return made.eval()


def promises(raw: onnx.ModelProto, images: torch.Tensor, logits: Any) -> dict[str, Any]:
    """One row: what was found, and what was promised and does not hold."""
    before = lint(raw, "tensorrt_rtx").findings
    broken = [fault for target in TARGETS for fault in _faults(raw, target, images, logits)]
    kernels = []
    for precision in PRECISIONS:
        repaired, _ = repair(raw, "tensorrt_rtx", precision)
        layers = compiled(repaired, precision)
        kernels.append(layers.kernels)
        broken += [f"{precision}: {x.name} in float" for x in layers.float_convolutions]
        if precision == "int8":
            after = len(repaired.graph.node)
    return {
        "nodes": len(raw.graph.node),
        "after": after,
        "lint": _summary(Counter(finding.severity for finding in before)),
        "kernels": kernels[0],
        "half": kernels[1],
        "broken": "; ".join(broken),
    }


def _faults(
    raw: onnx.ModelProto, target: Target, images: torch.Tensor, logits: Any
) -> Iterator[str]:
    repaired, records = repair(raw, target)
    proof = prove(raw, repaired, images.numpy(), logits, target, SurgeryConfig(), records)
    if not proof.gates[0].passed:
        yield f"{target}: {proof.gates[0].detail}"
    if repair(repaired, target)[0].SerializeToString() != repaired.SerializeToString():
        yield f"{target}: a second run changes it"
    for side in ("input", "output"):
        if list(getattr(repaired.graph, side)) != list(getattr(raw.graph, side)):
            yield f"{target}: its {side} is another"
    found = lint(repaired, target).findings
    if found:
        yield f"{target}: lint finds {sorted({x.code for x in found})}"


def compiled(model: onnx.ModelProto, precision: Precision) -> LayerTable:
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.onnx"
        graph.write_bytes(model.SerializeToString())
        options = TensorRtRtxConfig(compute_capability="8.6")
        return build_engine(graph, "tensorrt_rtx", precision, options, graph.with_suffix(".p"))[1]


def _summary(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {severity}s" for severity, count in sorted(counts.items())) or "none"


if __name__ == "__main__":
    main()
