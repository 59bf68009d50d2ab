"""One network of the zoo through every stage, in a process of its own.

    python benchmarks/zoo_worker.py NAME SIZE MODE FOLDER

Prints one JSON object a line: each stage as it is reached, and what was found at it.
"""

import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx
import torch
from zoo_networks import make

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig, QuantizedMode
from schemas.engine import LayerTable, OpenVinoConfig, TensorRtRtxConfig
from schemas.surgery import SurgeryConfig
from tasks.engine.build import build_engine
from tasks.models.exporter import write_onnx
from tasks.models.quantizer import quantizer
from tasks.runtimes.registry import runtime
from tasks.surgery.lint import lint
from tasks.surgery.parity import prove
from tasks.surgery.repair import repair

CALIBRATION_IMAGES = 8
PARITY_IMAGES = 4
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def main(name: str, size: int, mode: QuantizedMode, folder: Path) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(CALIBRATION_IMAGES, 3, size, size, generator=generator)
    model = make(name, size, images)
    example = torch.zeros(2, 3, size, size)
    # The extremes as they are: with random weights there is nothing to choose wisely.
    config = QuantizationConfig(mode=mode, observer="minmax")
    ways = quantizer(mode)

    with stage("prepare"):
        prepared = ways.prepare(model, config, example)
    with stage("calibrate"), torch.inference_mode():
        prepared(images)
        table = CalibrationTable(
            images=len(images), images_sha256="", tensors=ways.read_ranges(prepared)
        )
        del prepared
    with stage("convert"), torch.inference_mode():
        float_logits = model(images[:PARITY_IMAGES]).numpy()
    with stage("convert"):
        int8 = ways.convert_with_table(model, config, table, example)
        with torch.inference_mode():
            logits = int8(images[:PARITY_IMAGES]).numpy()
        report(sqnr_db=_sqnr_db(float_logits, logits))
    raw_file = folder / "raw.onnx"
    with stage("export"):
        write_onnx(int8, example, raw_file, ways.exporter, opset=17, dynamic_batch=True)
        del int8
    raw = onnx.load(raw_file)
    report(**_integer_products(raw))
    files = {}
    some = images[:PARITY_IMAGES].numpy()
    with stage("surgery"):
        for target in ("tensorrt_rtx", "openvino"):
            repaired, records = repair(raw, target)
            files[target] = folder / f"{target}.onnx"
            files[target].write_bytes(repaired.SerializeToString())
            if target == "tensorrt_rtx":
                proof = prove(raw, repaired, some, logits, target, SurgeryConfig(), records)
                broken = [gate for gate in proof.gates if not gate.passed]
                report(
                    parity_steps=proof.parity[-1].max_difference_steps,
                    parity_top1=proof.parity[-1].top1_agreement,
                    broken_gates=[f"{gate.name}: {gate.detail}" for gate in broken],
                )
    with stage("lint"):
        found = lint(onnx.load(files["tensorrt_rtx"]), "tensorrt_rtx").findings
        report(lint=sorted({f"{finding.code} {finding.severity}" for finding in found}))
    with stage("tensorrt_rtx"):
        _, layers = build_engine(
            files["tensorrt_rtx"],
            "tensorrt_rtx",
            "int8",
            TensorRtRtxConfig(compute_capability="8.6"),
            folder / "rtx.plan",
        )
        report(kernels=layers.kernels, **_integer_layers(layers))
    with stage("openvino"):
        plan = folder / "openvino.plan"
        build_engine(files["openvino"], "openvino", "int8", OpenVinoConfig(), plan)
        answers = runtime("openvino").open(plan, threads=1).infer(some)
        report(openvino_sqnr_db=_sqnr_db(logits, answers))
    report(stage="done")


def report(**found: Any) -> None:
    print(json.dumps(found), flush=True)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Says that a stage begins, and how long it took."""
    report(stage=name)
    start = time.perf_counter()
    yield
    report(seconds={name: round(time.perf_counter() - start, 2)})


def _sqnr_db(meant: "np.ndarray[Any, Any]", got: "np.ndarray[Any, Any]") -> float:
    """Signal to quantization noise of logits, in decibels."""
    meant, got = meant.reshape(len(meant), -1), got.reshape(len(got), -1)
    noise = float(np.linalg.norm(got - meant))
    signal = float(np.linalg.norm(meant))
    return round(20 * float(np.log10(signal / noise)), 1) if noise and signal else 999.0


def _integer_products(model: onnx.ModelProto) -> dict[str, int]:
    """Convolutions and matrix products, and those both of whose factors come dequantized."""
    maker = {name: node for node in model.graph.node for name in node.output}
    through = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "MaxPool"}
    through |= {"Slice", "Split", "Gather", "Expand", "Cast"}

    def dequantized(name: str) -> bool:
        node = maker.get(name)
        while node is not None and node.op_type in through:
            node = maker.get(node.input[0])
        return node is not None and node.op_type == "DequantizeLinear"

    products = [node for node in model.graph.node if node.op_type in PRODUCTS]
    integer = [node for node in products if all(dequantized(x) for x in node.input[:2])]
    return {"products": len(products), "int8_products": len(integer)}


def _integer_layers(layers: LayerTable) -> dict[str, int]:
    """Of the kernels in a plan, the convolutions and products, and those that read integers."""
    heavy = [layer for layer in layers.layers if layer.is_convolution or layer.is_matmul]
    return {
        "plan_products": len(heavy),
        "plan_int8_products": sum(layer.is_integer is True for layer in heavy),
    }


if __name__ == "__main__":
    name, size, mode, folder = sys.argv[1:]
    main(name, int(size), mode, Path(folder))  # type: ignore[arg-type]
