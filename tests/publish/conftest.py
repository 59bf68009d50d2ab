"""Finished runs of a tiny real network on real files, without Prefect."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from schemas.artifact import ArtifactRef
from schemas.base import Gate, Target
from schemas.data import DataConfig, DataRef
from schemas.engine import OpenVinoConfig, TensorRtRtxConfig
from schemas.evaluate import Accuracy
from schemas.job import Job
from schemas.report import EngineReport, RunReport
from tasks.artifacts.store import Store
from tasks.datasets.open import describe, open_dataset
from tasks.engine.build import build_engine
from tasks.evaluate.metrics import accuracy_of
from tasks.runtimes.registry import runtime
from tests.runtimes.qdq_graphs import quantize

CLASSES = ("cat", "große Katze", 'the "other" one', "dog")
PASSED = Gate(name="openvino int8 top-1", passed=True, detail="0.94 of at least 0.93")
FAILED = Gate(name="points lost", passed=False, detail="1.20 of at most 0.50")


def tiny_network(path: Path, *, batch: int | str = "N", channels: int = 3) -> Path:
    """Two convolutions and a classifier with random weights, for 24x32 images."""
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["images", "w1", "b1"], ["a"], "conv1", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "relu1"),
        helper.make_node("Conv", ["b", "w2", "b2"], ["c"], "conv2", strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"], "relu2"),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], "pool"),
        helper.make_node("Flatten", ["e"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["logits"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, channels, 24, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, len(CLASSES)])],
        [
            weights("w1", 16, channels, 3, 3),
            weights("b1", 16),
            weights("w2", 16, 16, 3, 3),
            weights("b2", 16),
            weights("w3", len(CLASSES), 16),
            numpy_helper.from_array(np.zeros(len(CLASSES), np.float32), "b3"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, str(path))
    return quantize(path, path.with_name(f"int8-{path.name}"))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of noisy images of several sizes and modes, as train|test/<class>/<name>."""
    root, draw = tmp_path_factory.mktemp("images"), random.Random(0)
    for split, count in (("train", 2), ("test", 6)):
        for place, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                size = (draw.randint(30, 60), draw.randint(30, 60))
                rng = np.random.default_rng(100 * place + number)
                tint = np.array([255, 20, 60]) if place == 0 else np.roll([250, 90, 5], place)
                noise = rng.random((*size[::-1], 3))
                pixels = (tint * noise ** (0.2 + place)).astype(np.uint8)
                image = Image.fromarray(pixels).convert(draw.choice(["RGB", "RGB", "L", "P"]))
                image.save(
                    folder
                    / f"{number:02}.{draw.choice(['png', 'jpg'])}".replace(
                        "jpg", "png" if image.mode == "P" else "jpg"
                    )
                )
    return root


def image_data(images: Path) -> DataConfig:
    """The images cropped, resized and normalised for the tiny network."""
    return DataConfig.model_validate(
        {
            "image_folder": {"path": images, "classes": CLASSES},
            "image_size": (24, 32),
            "center_crop": 0.8,
            "mean": (0.4, 0.5, 0.6),
            "std": (0.2, 0.25, 0.3),
        }
    )


@dataclass(frozen=True)
class Run:
    """A finished run whose report is in its store."""

    store: Store
    report: RunReport
    digest: str

    @property
    def job(self) -> str:
        return self.report.job.name

    def with_gates(self, *gates: Gate) -> "Run":
        passed = all(gate.passed for gate in gates)
        return deliver(
            self.store, self.report.model_copy(update={"gates": gates, "passed": passed})
        )


def deliver(store: Store, report: RunReport) -> Run:
    """Store the report, and lay it out as a run does."""
    ref = store.put_model("report", report)
    folder = store.root / "runs" / report.job.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_bytes(store.open(ref).read_bytes())
    return Run(store, report, ref.sha256)


def make_run(root: Path, graph: Path, data: DataRef, *targets: Target, **job: Any) -> Run:
    """Build engines from a graph, and report them."""
    store = Store(root)
    options = {
        "openvino": OpenVinoConfig(),
        "tensorrt_rtx": TensorRtRtxConfig(batch_sizes=(1, 8, 32)),
    }
    engines = []
    for target in targets:
        plan = root / f"{target}.plan"
        manifest, layers = build_engine(graph, target, "int8", options[target], plan)
        kept: ArtifactRef = store.put_file("plan", plan)
        engines.append(
            EngineReport(
                target=target,
                plan=kept,
                graph=store.put_file("onnx", graph),
                manifest=manifest,
                layers=layers,
                baseline=manifest,
                baseline_layers=layers,
                not_run=None,
            )
        )
    accuracies = measured(data, graph, store.open(engines[0].plan))
    described = {"name": "tiny", "model": {"factory": "tests.models:none"}, "data": data.config}
    report = RunReport(
        job=Job.model_validate(described | job),
        passed=True,
        gates=(PASSED,),
        accuracies=accuracies,
        surgeries=(),
        engines=tuple(engines),
        latencies=(),
        versions={},
        data=data,
    )
    return deliver(store, report)


def measured(data: DataRef, graph: Path, plan: Path) -> tuple[Accuracy, ...]:
    """What the evaluation says of the plan and of its graph."""
    test = open_dataset(data.config, "test")
    batch = test.images(np.arange(len(test), dtype=np.int64))
    reference = runtime("onnxruntime").open(graph).infer(batch)
    forms = {"openvino int8": runtime("openvino").open(plan).infer(batch)}
    forms["onnx for openvino"] = reference
    return tuple(
        accuracy_of(name, logits, reference, test.labels) for name, logits in forms.items()
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Run:
    """One run with an OpenVINO engine and a plan of TensorRT for RTX; not to be changed."""
    folder = tmp_path_factory.mktemp("built")
    graph = tiny_network(folder / "tiny.onnx")
    return make_run(
        folder / "artifacts", graph, describe(image_data(images)), "openvino", "tensorrt_rtx"
    )


@pytest.fixture
def run(built: Run, tmp_path: Path) -> Run:
    """The same run in an artifact folder of its own."""
    import shutil

    shutil.copytree(built.store.root, tmp_path / "artifacts")
    return Run(Store(tmp_path / "artifacts"), built.report, built.digest)
