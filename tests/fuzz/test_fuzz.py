"""Whatever a file holds, it is read or refused in one line: never a traceback, never a wait.

More of it, and other each time: ``ENGINESMITH_FUZZ_EXAMPLES=2000 pytest tests/fuzz``.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from flows.commands.build import parse_options
from flows.jobfile import load_job
from schemas.engine import Manifest
from schemas.job import Job
from tasks.datasets import image_folder
from tasks.datasets.container import open_container
from tasks.history.records import read_history
from tasks.models.weights import load_weights
from tasks.publish.latest import read_pointer
from tasks.publish.runs import read_report
from tasks.publish.standalone import UnusableError, prepare
from tasks.runtimes.onnx_file import graph_digest
from tasks.runtimes.plans import read_manifest
from tasks.runtimes.trt.inspector import layer_table, with_times
from tasks.surgery.intake import read_model
from tasks.surgery.lint import lint
from tasks.surgery.repair import repair
from tests.corpus import graph, image, plan
from tests.corpus.job import SOUND
from tests.corpus.networks import Small
from tests.fuzz.mutations import bytes_like, document_like, fuzz, refused_or_read, values, words

pytestmark = pytest.mark.timeout(900)

JOB = {**SOUND, "quantization": {"exclude": ["head"]}, "accuracy": {"images": 3}}
NETWORK = graph.sound()
LAYERS = json.loads(
    plan.layers({"Name": "a", "LayerType": "conv", "Inputs": [{"Format/Datatype": "Int8"}]}, "b")
)
HOW = {
    "input_shape": [3, 16, 16],
    "mode": "RGB",
    "convert": True,
    "image_size": None,
    "center_crop": None,
    "mean": [0.0],
    "std": [1.0],
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file"


@fuzz
@given(bytes_like(yaml.safe_dump(JOB).encode()))
def test_job_files_byte_by_byte(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    read = refused_or_read(lambda: load_job(file))
    assert read is None or isinstance(read, Job)


@fuzz
@given(document_like(JOB))
def test_job_files_field_by_field(file: Path, document: Any) -> None:
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    refused_or_read(lambda: load_job(file))


@fuzz
@given(
    st.lists(
        st.builds("{}={}".format, words | st.sampled_from(["name", "data.mean", "export"]), words)
    )
)
def test_settings_on_the_command_line(file: Path, settings: list[str]) -> None:
    file.write_text(yaml.safe_dump(JOB))
    refused_or_read(lambda: load_job(file, settings))
    refused_or_read(lambda: parse_options("tensorrt_rtx", settings))


@fuzz
@given(bytes_like(NETWORK.SerializeToString()))
def test_onnx_files_byte_by_byte(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    refused_or_read(lambda: graph_digest(file))
    model = refused_or_read(lambda: read_model(file))
    if isinstance(model, onnx.ModelProto):
        refused_or_read(lambda: repair(model, "tensorrt"))
        refused_or_read(lambda: lint(model, "tensorrt"))


@st.composite
def _networks(draw: st.DrawFn) -> onnx.ModelProto:
    """The sound network with nodes and tensors mixed up."""
    model = onnx.ModelProto()
    model.CopyFrom(NETWORK)
    nodes, tensors = model.graph.node, model.graph.initializer
    names = [name for node in nodes for name in (*node.input, *node.output)]
    for _ in range(draw(st.integers(1, 3))):
        node, tensor = draw(st.sampled_from(nodes)), draw(st.sampled_from(tensors))
        edit = draw(st.sampled_from(["rewire", "rename", "operator", "drop", "reshape", "retype"]))
        if edit == "rewire" and node.input:
            node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names))
        elif edit == "rename":
            node.output[0] = draw(st.sampled_from(names))
        elif edit == "operator":
            node.op_type = draw(st.sampled_from(["Relu", "Add", "MaxPool", "DequantizeLinear", ""]))
        elif edit == "drop" and len(nodes) > 1:
            nodes.remove(node)
        elif edit == "reshape":
            tensor.dims[:] = draw(st.lists(st.integers(-1, 9), max_size=4))
        else:
            tensor.data_type = draw(st.integers(0, 23))
    return model


@fuzz
@given(_networks())
def test_onnx_files_node_by_node(file: Path, network: onnx.ModelProto) -> None:
    file.write_bytes(network.SerializeToString())
    refused_or_read(lambda: graph_digest(file))
    model = refused_or_read(lambda: read_model(file))
    if isinstance(model, onnx.ModelProto):
        refused_or_read(lambda: repair(model, "openvino"))
        refused_or_read(lambda: lint(model, "openvino"))


@fuzz
@given(bytes_like(save(Small().state_dict())))
def test_checkpoints(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    network = Small()
    if refused_or_read(lambda: load_weights(network, file) or True):
        assert all(bool(torch.isfinite(x).all()) for x in network.state_dict().values())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
@fuzz
@given(st.data())
def test_images(file: Path, kind: str, data: st.DataObject) -> None:
    encoded = data.draw(bytes_like(image.encoded(kind)))
    decode = image_folder.Decoder("RGB", None)
    pixels = refused_or_read(lambda: decode(encoded, "x"))
    assert pixels is None or (isinstance(pixels, np.ndarray) and pixels.shape[0] == 3)
    file.write_bytes(encoded)
    with suppress(UnusableError):
        prepare(file, HOW, fit=True)


@fuzz
@given(st.data())
def test_tars_of_images(file: Path, data: st.DataObject) -> None:
    folder = file.parent / "tar"
    if not (folder / "data.tar.gz").exists():
        folder.mkdir()
        for give in image.tar():
            give(folder)
    name = file.with_name("data.tar.gz")
    name.write_bytes(data.draw(bytes_like((folder / "data.tar.gz").read_bytes())))
    refused_or_read(lambda: open_container(name).members())


@fuzz
@given(st.data())
def test_manifests(file: Path, data: st.DataObject) -> None:
    folder = file.parent / "plan"
    if not folder.exists():
        folder.mkdir()
        for give in plan.plan():
            give(folder)
    whole = (folder / plan.MANIFEST).read_bytes()
    name = file.with_name("net.plan")
    name.write_bytes(b"plan")
    document = data.draw(document_like(json.loads(whole)))
    file.with_name(plan.MANIFEST).write_text(json.dumps(document))
    found = refused_or_read(lambda: read_manifest(name))
    assert found is None or found == Manifest.model_validate_json(whole)
    file.with_name(plan.MANIFEST).write_bytes(data.draw(bytes_like(whole)))
    refused_or_read(lambda: read_manifest(name))


@fuzz
@given(document_like(LAYERS), values)
def test_what_trtexec_writes(document: Any, profile: Any) -> None:
    table = refused_or_read(lambda: layer_table(json.dumps(document)))
    if table is not None:
        refused_or_read(lambda: with_times(table, json.dumps(profile), "x"))  # type: ignore[arg-type]


@fuzz
@given(values, st.binary(max_size=40))
def test_what_is_remembered_of_runs(file: Path, document: Any, data: bytes) -> None:
    from tasks.artifacts.store import Store

    store = Store(file.parent / "store")
    for content in (json.dumps(document).encode(), data):
        store.backend.write("published/tiny/latest.json", content)
        refused_or_read(lambda: read_pointer(store, "tiny"))
        store.backend.write("history/tiny/00000001-x.json", content)
        assert not read_history(store, "tiny").builds
        file.write_bytes(content)
        refused_or_read(lambda: read_report(file))


def test_it_finds_what_it_is_for() -> None:
    """A reader that lets an error through would be seen."""
    with pytest.raises(ValueError, match="invalid literal"):
        refused_or_read(lambda: int("many"))
