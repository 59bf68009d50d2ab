"""One network of the zoo through every stage, in a process of its own.

    python benchmarks/zoo_worker.py NAME SIZE MODE FOLDER

Writes JSON lines to FOLDER/found: each stage as it is reached, and what was found there.
"""

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx
import onnxscript  # noqa: F401  The exporter needs it; here it is imported once for all networks.
import torch
from zoo_networks import make

from schemas.base import Target
from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig, QuantizedMode
from schemas.engine import LayerTable, OpenVinoConfig, TensorRtRtxConfig
from schemas.surgery import SurgeryConfig
from tasks.engine.build import build_engine
from tasks.models.exporter import write_onnx
from tasks.models.pt2e import quantizer as _  # noqa: F401  The same.
from tasks.models.quantizer import quantizer
from tasks.profiling.machine import describe_machine
from tasks.runtimes.registry import runtime
from tasks.surgery.lint import lint
from tasks.surgery.parity import prove
from tasks.surgery.repair import repair

CALIBRATION_IMAGES = 8
PARITY_IMAGES = 4
TARGETS: tuple[Target, ...] = ("tensorrt_rtx", "openvino")
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def run(name: str, size: int, mode: QuantizedMode, folder: Path) -> None:
    """What ``main`` of ``zoo.py`` starts: errors go to FOLDER/errors."""
    with (folder / "errors").open("w") as errors:
        os.dup2(errors.fileno(), 2)
        os.dup2(errors.fileno(), 1)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with (folder / "found").open("w") as file:
        go(name, size, mode, folder, Diary(file))


def go(name: str, size: int, mode: QuantizedMode, folder: Path, diary: "Diary") -> None:
    diary.note(machine=f"{describe_machine()}, torch {torch.__version__.partition('+')[0]}")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(CALIBRATION_IMAGES, 3, size, size, generator=generator)
    some = images[:PARITY_IMAGES]
    model = make(name, size, images)
    example = torch.zeros(2, 3, size, size)
    # The extremes as they are: with random weights there is nothing to choose wisely.
    config = QuantizationConfig(mode=mode, observer="minmax")
    ways = quantizer(mode)

    with diary.stage("prepare"):
        prepared = ways.prepare(model, config, example)
    with diary.stage("calibrate"), torch.inference_mode():
        prepared(images)
        ranges = ways.read_ranges(prepared)
        del prepared
    table = CalibrationTable(images=len(images), images_sha256="", tensors=ranges)
    with diary.stage("convert"):
        int8 = ways.convert_with_table(model, config, table, example)
        with torch.inference_mode():
            logits = int8(some).numpy()
            diary.note(sqnr_db=_sqnr_db(model(some).numpy(), logits))
    raw_file = folder / "raw.onnx"
    with diary.stage("export"):
        write_onnx(int8, example, raw_file, ways.exporter, opset=17, dynamic_batch=True)
        del int8
    raw = onnx.load(raw_file)
    diary.note(**_integer_products(raw))
    files = {target: folder / f"{target}.onnx" for target in TARGETS}
    with diary.stage("surgery"):
        for target, file in files.items():
            repaired, records = repair(raw, target)
            file.write_bytes(repaired.SerializeToString())
            if target == "tensorrt_rtx":
                proof = prove(raw, repaired, some.numpy(), logits, target, SurgeryConfig(), records)
                diary.note(
                    parity_steps=proof.parity[-1].max_difference_steps,
                    parity_top1=proof.parity[-1].top1_agreement,
                    broken=[f"{x.name}: {x.detail}" for x in proof.gates if not x.passed],
                )
    with diary.stage("lint"):
        found = lint(onnx.load(files["tensorrt_rtx"]), "tensorrt_rtx").findings
        diary.note(lint=sorted({f"{finding.code} {finding.severity}" for finding in found}))
    with diary.stage("tensorrt_rtx"):
        options = TensorRtRtxConfig(compute_capability="8.6")
        plan = folder / "rtx.plan"
        _, layers = build_engine(files["tensorrt_rtx"], "tensorrt_rtx", "int8", options, plan)
        diary.note(kernels=layers.kernels, **_integer_layers(layers))
    with diary.stage("openvino"):
        plan = folder / "openvino.plan"
        build_engine(files["openvino"], "openvino", "int8", OpenVinoConfig(), plan)
        answers = runtime("openvino").open(plan, threads=1).infer(some.numpy())
        diary.note(openvino_sqnr_db=_sqnr_db(logits, answers))
    diary.note(stage="done")


class Diary:
    """What is known so far, written down at once, since the process may not live to say it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def note(self, **found: Any) -> None:
        self._file.write(json.dumps(found) + "\n")
        self._file.flush()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Says that a stage begins, and how long it took."""
        self.note(stage=name)
        start = time.perf_counter()
        yield
        self.note(seconds={name: round(time.perf_counter() - start, 2)})


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
    run(name, int(size), mode, Path(folder))
