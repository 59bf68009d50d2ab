"""A published repository is what Triton's own definition and the model files say it must be."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from openvino.preprocess import PrePostProcessor

from schemas.engine import Manifest, ShapeRange, TensorInfo, TensorRtConfig
from schemas.errors import InputError
from schemas.publish import PublishConfig, TritonConfig
from tasks.datasets.open import describe, open_dataset
from tasks.publish.latest import latest_folder
from tasks.publish.publish import package_run, publish
from tasks.publish.triton import config_of, labels_of
from tasks.runtimes.plans import open_plan
from tests.publish.conftest import CLASSES, Run, image_data, make_run, tiny_network
from tests.publish.model_config import parse

BOTH = PublishConfig(engines=("openvino", "onnxruntime"), formats=("folder", "triton"))
ONNX_TYPES = {onnx.TensorProto.FLOAT: "TYPE_FP32", onnx.TensorProto.FLOAT16: "TYPE_FP16"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, built: Run) -> Path:
    import shutil

    from tasks.artifacts.store import Store

    root = tmp_path_factory.mktemp("triton") / "artifacts"
    shutil.copytree(built.store.root, root)
    store = Store(root)
    publish(store, package_run(store, built.report, BOTH), built.report, built.digest)
    return latest_folder(store, built.job) / "triton"


def config_in(model: Path) -> Any:
    return parse((model / "config.pbtxt").read_text(encoding="utf-8"))


def enum(message: Any, field: str) -> str:
    """The name of an enumerator."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    name: str = kind.values_by_number[getattr(message, field)].name
    return name


def test_the_definition_used_refuses_what_triton_does_not_know() -> None:
    with pytest.raises(text_format.ParseError, match="max_batchsize"):
        parse("max_batchsize: 3")
    with pytest.raises(text_format.ParseError, match="TYPE_FLOAT"):
        parse("input { data_type: TYPE_FLOAT }")


def test_every_model_has_its_config_labels_and_one_numbered_version(repository: Path) -> None:
    assert {x.name for x in repository.iterdir()} == {"tiny-openvino", "tiny-onnxruntime"}
    files = {"tiny-openvino": {"model.xml", "model.bin"}, "tiny-onnxruntime": {"model.onnx"}}
    for model in repository.iterdir():
        assert {x.name for x in model.iterdir()} == {"config.pbtxt", "labels.txt", "1"}
        assert {x.name for x in (model / "1").iterdir()} == files[model.name]
        config = config_in(model)
        assert config.name == model.name
        assert config.backend == model.name.removeprefix("tiny-")
        assert config.version_policy.latest.num_versions == 1
        assert (model / config.output[0].label_filename).is_file()


def test_labels_are_one_a_line_in_label_order(repository: Path) -> None:
    text = (repository / "tiny-openvino/labels.txt").read_text(encoding="utf-8")
    assert tuple(text.splitlines()) == CLASSES
    assert labels_of(["two\nlines"]) == "two lines\n"


def test_the_onnx_model_takes_and_gives_what_its_config_says(repository: Path) -> None:
    model = repository / "tiny-onnxruntime"
    config, graph = config_in(model), onnx.load(model / "1" / "model.onnx").graph
    for said, tensor in zip(
        [*config.input, *config.output], [*graph.input, *graph.output], strict=True
    ):
        dims = tensor.type.tensor_type.shape.dim
        assert said.name == tensor.name
        assert enum(said, "data_type") == ONNX_TYPES[tensor.type.tensor_type.elem_type]
        assert list(said.dims) == [dim.dim_value for dim in dims[1:]]
        # With batching on, this backend wants the first dimension open.
        assert dims[0].dim_param
    assert config.max_batch_size == 64
    assert config.dynamic_batching.max_queue_delay_microseconds == 100
    assert enum(config.instance_group[0], "kind") == "KIND_CPU"


def test_the_openvino_model_loads_the_way_its_backend_loads_it(
    repository: Path, images: Path
) -> None:
    """The backend's own steps: element types, layout, batch; then the shapes must be the config's.

    What it then answers is what the published plan answers.
    """
    model = repository / "tiny-openvino"
    config, core = config_in(model), ov.Core()
    network = core.read_model(model / "1" / "model.xml")
    assert {x.name for x in config.input} == {x.get_any_name() for x in network.inputs}
    steps = PrePostProcessor(network)
    for tensor in config.input:
        assert enum(tensor, "data_type") == "TYPE_FP32"
        steps.input(tensor.name).tensor().set_element_type(ov.Type.f32)
        steps.input(tensor.name).tensor().set_layout(ov.Layout("N..."))
    network = steps.build()
    ov.set_batch(network, config.max_batch_size)
    for said, port in zip(
        [*config.input, *config.output], [*network.inputs, *network.outputs], strict=True
    ):
        assert said.name == port.get_any_name()
        assert list(port.get_shape()) == [config.max_batch_size, *said.dims]
    properties = {key: value.string_value for key, value in config.parameters.items()}
    assert properties == {"NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(network, "CPU", properties)
    test = open_dataset(image_data(images), "test")
    batch = test.images(np.arange(len(test)))
    served = np.concatenate([compiled(image[None])[0] for image in batch])
    plan = open_plan(repository.parent / "folder" / "openvino.plan")
    assert (served.argmax(axis=1) == plan.infer(batch).argmax(axis=1)).all()


def tensorrt_manifest(built: Run, options: TensorRtConfig, batch: int = -1) -> Manifest:
    """The manifest of a TensorRT plan, as building one on a GPU writes it."""
    manifest = built.report.engines[1].manifest
    assert manifest.engine == "tensorrt_rtx"
    return manifest.model_copy(
        update={
            "engine": "tensorrt",
            "options": options.model_dump(mode="json"),
            "inputs": (TensorInfo(name="images", dtype="float32", shape=(batch, 3, 24, 32)),),
            "outputs": (TensorInfo(name="logits", dtype="float32", shape=(batch, 4)),),
        }
    )


def test_a_tensorrt_plan_gets_its_own_limits_and_every_profile(built: Run) -> None:
    small = ShapeRange(min=(1, 3, 24, 32), opt=(1, 3, 24, 32), max=(4, 3, 24, 32))
    large = ShapeRange(min=(1, 3, 24, 32), opt=(8, 3, 24, 32), max=(16, 3, 24, 32))
    options = TensorRtConfig(profiles=({"images": small}, {"images": large}))
    asked = TritonConfig(preferred_batch_sizes=(4, 8, 32), max_queue_delay_us=500, instances=2)
    config = parse(config_of("tiny", tensorrt_manifest(built, options), asked))
    assert config.platform == "tensorrt_plan"
    assert config.max_batch_size == 16
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    group = config.instance_group[0]
    assert (group.count, list(group.profile)) == (2, ["0", "1"])
    assert enum(group, "kind") == "KIND_GPU"
    assert list(config.input[0].dims) == [3, 24, 32]


def test_a_plan_of_the_usual_batches_is_asked_for_no_more_than_it_takes(built: Run) -> None:
    manifest = tensorrt_manifest(built, TensorRtConfig(batch_sizes=(1, 4, 32)))
    assert parse(config_of("tiny", manifest, TritonConfig())).max_batch_size == 32
    few = TritonConfig(max_batch_size=8)
    assert parse(config_of("tiny", manifest, few)).max_batch_size == 8


def test_a_fixed_batch_is_part_of_the_shape_and_not_batched(built: Run) -> None:
    manifest = tensorrt_manifest(built, TensorRtConfig(), batch=8)
    config = parse(config_of("tiny", manifest, TritonConfig()))
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [8, 3, 24, 32]
    assert not config.HasField("dynamic_batching")


def test_more_instances_of_openvino_share_the_processor_by_streams(built: Run) -> None:
    manifest = built.report.engines[0].manifest
    config = parse(config_of("tiny", manifest, TritonConfig(instances=4)))
    assert config.parameters["NUM_STREAMS"].string_value == "4"
    assert config.parameters["PERFORMANCE_HINT"].string_value == "THROUGHPUT"
    assert config.max_batch_size == 1


def test_a_tensor_of_a_type_that_triton_is_not_told_is_refused(built: Run) -> None:
    manifest = built.report.engines[0].manifest
    odd = manifest.model_copy(
        update={"inputs": (manifest.inputs[0].model_copy(update={"dtype": "bfloat16"}),)}
    )
    with pytest.raises(InputError, match="tensor images is bfloat16"):
        config_of("tiny", odd, TritonConfig())


@given(name=st.text(max_size=20))
def test_any_tensor_name_survives_the_text_format(built: Run, name: str) -> None:
    manifest = built.report.engines[0].manifest
    named = manifest.model_copy(
        update={"inputs": (manifest.inputs[0].model_copy(update={"name": name}),)}
    )
    assert parse(config_of("tiny", named, TritonConfig())).input[0].name == name


def test_a_graph_of_one_fixed_image_is_served_one_at_a_time(tmp_path: Path, images: Path) -> None:
    graph = tiny_network(tmp_path / "one.onnx", batch=1)
    run = make_run(tmp_path / "artifacts", graph, describe(image_data(images)), "openvino")
    packed = package_run(run.store, run.report, PublishConfig(engines=("onnxruntime",)))
    publish(run.store, packed, run.report, run.digest)
    folder = latest_folder(run.store, run.job) / "triton/tiny-onnxruntime"
    assert config_in(folder).max_batch_size == 0
    assert list(config_in(folder).input[0].dims) == [1, 3, 24, 32]
