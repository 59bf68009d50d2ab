"""Points of top-1 lost by our INT8, NNCF's and Model Optimizer's: same checkpoints, same images.

    python benchmarks/accuracy.py --images cifar10-jpeg.tar.xz --checkpoints DIR [--seeds 0 1 2]

For each network and calibration seed, one FP32 checkpoint and one draw of training images go three
ways: ours (calibrate, convert, export, surgery), NNCF and Model Optimizer, each peer with its own
defaults in an environment of its own (benchmarks/surgery.py makes them). OpenVINO runs all of them
on one thread, our graph for TensorRT-RTX and Model Optimizer's too, which have no engine on a CPU:
what is compared is what they round, not how a GPU would add it up. On a CPU without VNNI, where
INT8 sums saturate, --session onnxruntime runs all of them as the ONNX standard defines each node,
which is what the rounding alone costs. Top-1 is over the whole test set. DIR holds
NAME.safetensors for each of --networks; ``se-fashion-mnist`` needs none: it is a small
squeeze-and-excite network that is trained here, for two epochs on Fashion-MNIST.

Drops are means over the seeds, with 95 % intervals over the test images, paired. Exit status 1
where a bound of ours does not hold: 0.1 points for ResNet-18, 0.5 for the others.
"""

import argparse
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx
import torch
from surgery import HERE, environment

from flows.jobfile import load_job
from schemas.engine import OpenVinoConfig
from schemas.export import ExportConfig
from schemas.job import Job
from tasks.calibrate.observe import observe
from tasks.datasets.dataset import Dataset
from tasks.datasets.open import open_dataset
from tasks.datasets.sample import draw
from tasks.evaluate.predict import predict
from tasks.evaluate.rank import mean_drop_interval
from tasks.export.to_onnx import export_onnx
from tasks.models.build import build_model
from tasks.models.choose import example_of
from tasks.models.quantizer import quantizer
from tasks.models.weights import load_weights, save_weights
from tasks.runtimes.onnxruntime import OnnxRuntimeSession
from tasks.runtimes.openvino import OpenVinoRuntime
from tasks.runtimes.protocol import Session
from tasks.surgery.repair import repair
from tasks.train.train import train

BOUNDS = {
    "resnet18-cifar10": 0.1,
    "mobilenetv2-cifar10": 0.5,
    "mobilenetv3-cifar10": 0.5,
    "se-fashion-mnist": 0.5,
}
SE = "se-fashion-mnist"
WAYS = {
    "ours for OpenVINO": "NNCF",
    "ours for TensorRT-RTX": "Model Optimizer",
}
"""Each of ours, and the peer that makes graphs for the same engine."""

log = logging.getLogger("enginesmith")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=list(BOUNDS))
    parser.add_argument("--images", type=Path, help="CIFAR-10 as an image folder or tar")
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--work", type=Path, default=Path(".benchmarks/accuracy"))
    parser.add_argument("--environments", type=Path, default=Path(".benchmarks/surgery"))
    parser.add_argument("--resume", action="store_true", help="take what is left in --work")
    parser.add_argument("--session", choices=SESSIONS, default="openvino")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    peers = {name: environment(arguments.environments, name) for name in ("nncf", "modelopt")}
    rows, failed = [], []
    for name in arguments.networks:
        row = measure(name, arguments, peers)
        rows.append(row)
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
        failed += [
            f"{name}: {way} lost {row[way]['drop']:.2f} points, at most {BOUNDS[name]:g}"
            for way in WAYS
            if row[way]["drop"] > BOUNDS[name]
        ]
    print_tables(rows)
    for line in failed:
        print(f"FAILED: {line}")
    sys.exit(1 if failed else 0)


def measure(name: str, arguments: argparse.Namespace, peers: dict[str, Path]) -> dict[str, Any]:
    """Every way's mean drop on one network."""
    folder = arguments.work / name
    folder.mkdir(parents=True, exist_ok=True)
    job = job_of(name, arguments)
    network = build_model(job.model.factory, job.model.kwargs)
    assert job.model.weights is not None
    load_weights(network, job.model.weights)
    network.eval()
    train_set, test_set = open_dataset(job.data, "train"), open_dataset(job.data, "test")
    float_file = folder / "float.onnx"
    # Model Optimizer takes a graph's own batch: it calibrates on the images one by one.
    fixed = ExportConfig(dynamic_batch=False, batch_size=1)
    export_onnx(network, test_set.input_shape, fixed, float_file)
    session = SESSIONS[arguments.session]
    before = right(session(float_file), test_set, f"{name} FP32")
    answers: dict[str, list[Any]] = {}
    for seed in arguments.seeds:
        kept = folder / f"{arguments.session}-{seed}.npz"
        if not (arguments.resume and kept.is_file()):
            calibration = job.calibration.model_copy(update={"seed": seed})
            indices, _ = draw(train_set, test_set, calibration)
            files = quantized(job, network, train_set.images(indices), folder, peers)
            found = {w: right(session(f), test_set, f"{name} {w}") for w, f in files.items()}
            np.savez(kept, **found)
        for way, one in np.load(kept).items():
            answers.setdefault(way, []).append(one)
        log.info(
            "%s, seed %d: %s", name, seed, {w: drop(before, [a[-1]]) for w, a in answers.items()}
        )
    row: dict[str, Any] = {"network": name, "images": len(before), "seeds": len(arguments.seeds)}
    row["session"] = arguments.session
    row["float32"] = float(before.mean())
    for way, many in answers.items():
        low, high = mean_drop_interval(before, np.stack(many))
        row[way] = {"drop": drop(before, many), "low": low, "high": high}
        row[way]["each"] = [drop(before, [one]) for one in many]
    for mine, theirs in WAYS.items():
        row[mine]["more_than_peer"] = row[mine]["drop"] - row[theirs]["drop"]
        row[mine]["more_than_peer_interval"] = difference(answers[theirs], answers[mine])
    return row


def quantized(
    job: Job,
    network: torch.nn.Module,
    images: "np.ndarray[Any, Any]",
    folder: Path,
    peers: dict[str, Path],
) -> dict[str, Path]:
    """Every way's graph of one calibration."""
    files = {"NNCF": folder / "nncf.onnx", "Model Optimizer": folder / "modelopt.onnx"}
    np.save(folder / "images.npy", images)
    for peer, file in zip(peers, files.values(), strict=True):
        script = HERE / f"surgery_peer_{peer}.py"
        command = [peers[peer], script, folder / "float.onnx", folder / "images.npy", file]
        subprocess.run(command, check=True, capture_output=True)
    return files | ours(job, network, images, folder)


def job_of(name: str, arguments: argparse.Namespace) -> Job:
    """The job, with the checkpoint and images given."""
    if name == SE:
        return se_job(arguments)
    overrides = [
        "data.cifar10=null",
        f"data.image_folder.path={arguments.images.absolute()}",
        f"model.weights={(arguments.checkpoints / name).absolute()}.safetensors",
    ]
    return load_job(HERE.parent / "jobs" / f"{name}.yaml", [*overrides, *arguments.overrides])


def se_job(arguments: argparse.Namespace) -> Job:
    """The quickstart with a squeeze-and-excite network, trained where no checkpoint is left."""
    checkpoint = (arguments.work / f"{SE}.safetensors").absolute()
    overrides = [
        "model.factory=se_network:se_resnet",
        f"model.weights={checkpoint}",
        "train.epochs=2",
        "calibration.images=512",
    ]
    job = load_job(HERE.parent / "jobs" / "quickstart.yaml", [*overrides, *arguments.overrides])
    if not checkpoint.is_file():
        assert job.train is not None
        network, history = train(
            lambda: build_model(job.model.factory, job.model.kwargs),
            open_dataset(job.data, "train"),
            open_dataset(job.data, "test"),
            job.train,
        )
        log.info("%s: trained to top-1 %.4f", SE, history.epochs[-1].top1)
        save_weights(network, checkpoint)
    return job


def ours(
    job: Job, network: torch.nn.Module, images: "np.ndarray[Any, Any]", folder: Path
) -> dict[str, Path]:
    """The repaired graphs of one calibration."""
    example = example_of(images.shape[1:])
    mode = "eager" if job.quantization.mode == "auto" else job.quantization.mode
    config = job.quantization.model_copy(update={"mode": mode})
    chosen = quantizer(mode)
    batches = torch.from_numpy(images).split(job.calibration.batch_size)
    table = observe(network, batches, config, images_sha256="")
    int8 = chosen.convert_with_table(network, config, table, example)
    raw = folder / "raw.onnx"
    export_onnx(int8, images.shape[1:], job.export, raw, chosen.exporter)
    files = {}
    for way, target in zip(WAYS, ("openvino", "tensorrt_rtx"), strict=True):
        repaired, _ = repair(onnx.load(raw), target)
        files[way] = folder / f"{target}.onnx"
        onnx.save(repaired, files[way])
    return files


def openvino(file: Path) -> Session:
    """A graph as OpenVINO compiles it, on one thread."""
    plan = file.with_suffix(".plan")
    OpenVinoRuntime().build(file, plan, OpenVinoConfig())
    return OpenVinoRuntime().open(plan, threads=1)


def onnxruntime(file: Path) -> Session:
    """A graph node by node, on one thread, many images at a time."""
    model = onnx.load(file)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "images"
    del model.graph.value_info[:]
    return OnnxRuntimeSession(model.SerializeToString(), threads=1)


SESSIONS = {"openvino": openvino, "onnxruntime": onnxruntime}


def right(session: Session, test_set: Dataset, label: str) -> "np.ndarray[Any, Any]":
    """Which test images are answered right: bool[N]."""
    batches = (batch.images for batch in test_set.batches(100, None, label))
    logits = predict(session, batches, len(test_set.classes), label)
    return np.asarray(logits.argmax(1) == test_set.labels)


def drop(before: "np.ndarray[Any, Any]", after: list[Any]) -> float:
    """Points lost, mean over the seeds."""
    return float(100 * (before.mean() - np.mean(after)))


def difference(theirs: list[Any], mine: list[Any]) -> tuple[float, float]:
    """The 95 % interval of how many points more ours loses than theirs."""
    gaps = np.mean(theirs, axis=0) - np.mean(mine, axis=0)
    margin = 1.96 * gaps.std() / np.sqrt(len(gaps))
    return float(100 * (gaps.mean() - margin)), float(100 * (gaps.mean() + margin))


def print_tables(rows: list[dict[str, Any]]) -> None:
    print(
        "| network | FP32 top-1 | INT8 | points lost | 95 % interval | each seed | against peer |"
    )
    print("|---|---:|---|---:|---:|---:|---:|")
    for row in rows:
        for way in (*WAYS, *WAYS.values()):
            figures = row[way]
            each = ", ".join(f"{x:+.2f}" for x in figures["each"])
            against = ""
            if way in WAYS:
                low, high = figures["more_than_peer_interval"]
                against = f"{figures['more_than_peer']:+.2f} ({low:+.2f} to {high:+.2f})"
            print(
                f"| {row['network']} | {row['float32']:.4f} | {way} | {figures['drop']:+.2f} | "
                f"{figures['low']:+.2f} to {figures['high']:+.2f} | {each} | {against} |"
            )


if __name__ == "__main__":
    main()
