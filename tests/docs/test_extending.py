"""The worked examples of docs/extending.md, followed to the letter in a copy of the project."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.docs.test_docs import REPOSITORY, blocks

PAGE = REPOSITORY / "docs/extending.md"
PYTHON = [text for language, _, text in blocks(PAGE) if language == "python"]
COMMAND = "from flows.cli import main; main()"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in ("schemas", "tasks", "flows"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=ignored)
    return tmp_path


def definition(example: str, name: str) -> str:
    """An example's imports and classes, up to the line that begins to try them."""
    head, found, _ = example.partition(f"\n\n\n{name}")
    assert found
    return head + "\n"


def insert(file: Path, before: str, text: str) -> None:
    """Write ``text`` ahead of the one place that says ``before``."""
    source = file.read_text(encoding="utf-8")
    assert source.count(before) == 1, file
    file.write_text(source.replace(before, text + before), encoding="utf-8")


def run(folder: Path, code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {code}", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_graph(file: Path, *operators: str) -> None:
    """These operators one after the other, on images of three channels; Q and DQ have a scale."""
    last = ["n", 3] if operators[-1] == "Flatten" else ["n", 3, 8, 8]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("images", ["n", 3, 8, 8]), ("logits", last))
    ]
    tensors = ["images", *(f"t{i}" for i in range(1, len(operators))), "logits"]
    grid = ["scale", "zero"]
    nodes = [
        helper.make_node(
            op, [tensors[i], *(grid if op.endswith("Linear") else [])], [tensors[i + 1]], op.lower()
        )
        for i, op in enumerate(operators)
    ]
    constants = [
        helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1]),
        helper.make_tensor("zero", TensorProto.INT8, [], [0]),
    ]
    opset = [helper.make_opsetid("", 17)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)


def test_no_example_needs_more_than_three_files() -> None:
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        assert re.findall(r"^(\d)\. `[\w/]+\.py`", section, flags=re.MULTILINE) == ["1", "2", "3"]


def test_a_pass(copy: Path) -> None:
    module = copy / "tasks/surgery/passes/drop_identities.py"
    module.write_text(definition(PYTHON[0], "nodes = "), encoding="utf-8")
    pipeline = copy / "tasks/surgery/pipeline.py"
    name = "from tasks.surgery.passes.drop_identities import DropIdentities\n"
    insert(pipeline, "from tasks.surgery.passes.drop_unused", name)
    insert(pipeline, "    DropCasts(),\n", "    DropIdentities(),\n")
    write_graph(copy / "raw.onnx", "QuantizeLinear", "DequantizeLinear", "Identity", "Relu")
    arguments = ("surgery", "raw.onnx", "-o", "out.onnx", "--target", "tensorrt", "--size", "8")
    said = json.loads(run(copy, COMMAND, *arguments, "--json"))
    record = next(x for x in said["passes"] if x["name"] == "drop_identities")
    assert (record["changed"], record["bit_equal"]) == (["identity"], True)
    assert "Identity" not in [node.op_type for node in onnx.load(copy / "out.onnx").graph.node]


def test_an_observer(copy: Path) -> None:
    module = copy / "tasks/models/three_sigma.py"
    module.write_text(definition(PYTHON[1], "observer = "), encoding="utf-8")
    observers = copy / "tasks/models/observers.py"
    insert(observers, "\nOBSERVERS", "from tasks.models.three_sigma import ThreeSigmaObserver\n")
    insert(observers, '    "minmax": MinMaxObserver,', '    "three_sigma": ThreeSigmaObserver,\n')
    insert(copy / "schemas/convert.py", '"minmax", "moving_average"', '"three_sigma", ')
    scale = run(
        copy,
        "import torch; from torch import nn; "
        "from schemas.convert import QuantizationConfig as Config; "
        "from tasks.calibrate.observe import observe; "
        "net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(256, 10)).eval(); "
        "images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0)); "
        "config = Config(observer='three_sigma', mode='eager'); "
        "table = observe(net, [images], config, images_sha256=''); "
        "print(next(x.scale for name, x in table.tensors.items() if 'input' in name))",
    )
    assert float(scale) * 127.5 == pytest.approx(3, abs=0.1)


def test_a_runtime(copy: Path) -> None:
    module = copy / "tasks/runtimes/reference.py"
    module.write_text(definition(PYTHON[2], "engine: "), encoding="utf-8")
    chosen = '    if target == "reference":\n        from tasks.runtimes.reference import '
    chosen += "ReferenceRuntime\n\n        return ReferenceRuntime()\n"
    insert(copy / "tasks/runtimes/registry.py", '    if target == "openvino":', chosen)
    insert(copy / "schemas/target.py", '"openvino", ', '"reference", ')
    write_graph(copy / "relu.onnx", "Relu", "GlobalAveragePool", "Flatten")
    few = ("--rounds", "1", "--calls", "2", "--warmup", "0", "--threads", "1", "--json")
    arguments = ("profile", "relu.onnx", "--engine", "reference", "--vs", "onnxruntime", *few)
    report = json.loads(run(copy, COMMAND, *arguments))
    assert report["latencies"][0]["name"].startswith("reference float32")
    assert report["ratios"][0]["over"].startswith("onnxruntime")
