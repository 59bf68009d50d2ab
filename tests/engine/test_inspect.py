"""One table of layers, whatever compiler wrote it."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flows.commands import inspect
from schemas.engine import OpenVinoConfig, TensorRtRtxConfig
from schemas.errors import InputError
from tasks.engine.build import build_engine
from tasks.engine.compare import canonical, side_by_side
from tasks.engine.layers import layers_of
from tasks.runtimes.gpu import Gpu, find_gpu
from tasks.runtimes.plans import write_beside
from tasks.runtimes.trt import inspector

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize("version", [10, 11])
def test_the_inspectors_json_of_tensorrt_10_and_11(version: int) -> None:
    table = layers_of(FIXTURES / f"inspector-tensorrt{version}.json")
    assert len(table.layers) == 7  # the second profile's kernel is not counted again
    stem, late, gemm = table.layers[1], table.layers[3], table.layers[6]
    assert stem.onnx_nodes == ("stem.weight/DQ", "/stem/Conv", "/stem/Relu")
    assert (stem.is_convolution, stem.is_integer) == (True, True)
    assert stem.input_dtypes == ("int8",)
    assert "Thirty-two wide channel" in stem.input_formats[0]
    assert (late.is_convolution, late.is_integer, late.input_dtypes) == (True, False, ("float16",))
    assert gemm.is_matmul
    assert gemm.is_integer
    assert [x.name for x in table.layers if x.is_reformat] == [table.layers[0].name]
    assert [x.name for x in table.layers if x.is_qdq] == ["/pool_output_0/Q"]


def test_both_dialects_give_the_same_table() -> None:
    old, new = (layers_of(FIXTURES / f"inspector-tensorrt{x}.json") for x in (10, 11))
    drop = {"input_formats", "output_formats"}
    assert [x.model_dump(exclude=drop) for x in old.layers] == [
        x.model_dump(exclude=drop) for x in new.layers
    ]


def test_trtexecs_times_become_times_of_layers(tmp_path: Path) -> None:
    profile = [
        {"count": 100},
        {"name": "/late/conv/Conv", "timeMs": 30.0, "averageMs": 0.3, "medianMs": 0.25},
        {"name": "PWN(/late/Add, PWN(/late/Relu))", "timeMs": 10.0, "averageMs": 0.1},
    ]
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    table = layers_of(FIXTURES / "inspector-tensorrt10.json", profile=tmp_path / "profile.json")
    assert [x.time_ms for x in table.layers[3:5]] == [0.25, 0.1]
    assert table.time_ms == pytest.approx(0.35)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "is not JSON"),
        ("[]", "is no inspector JSON, without Layers and one of Bindings, I/O Tensors"),
        ('{"Layers": []}', "is no inspector JSON"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=line):
        layers_of(tmp_path / "x.json")


def test_a_profile_of_another_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('[{"count": 1}, {"name": "elsewhere", "averageMs": 1}]')
    with pytest.raises(InputError, match="shares no layer"):
        layers_of(FIXTURES / "inspector-tensorrt10.json", profile=tmp_path / "p.json")


def test_an_onnx_file_is_compiled_and_timed(int8_graph: Path) -> None:
    table = layers_of(int8_graph, calls=5)
    assert len(table.integer_convolutions) == 20
    convolutions = [x for x in table.layers if x.is_convolution]
    assert all(x.time_ms is not None and x.onnx_nodes for x in convolutions)


def test_the_table_tells_formats_and_the_json_each_layers_share(int8_graph: Path) -> None:
    def inspected(*arguments: object) -> str:
        app = typer.Typer()
        app.command()(inspect.inspect)
        result = CliRunner().invoke(app, [str(x) for x in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    layers = json.loads(inspected(int8_graph, "--calls", 5, "--json"))["layers"]
    assert sum(x["share"] for x in layers if x["share"] is not None) == pytest.approx(1)
    assert all(x["share"] is None for x in json.loads(inspected(int8_graph, "--json"))["layers"])
    assert "abcd → acdb" in inspected(int8_graph)
    there = "Thirty-two wide channel vectorized row major Int8 format"
    shown = " ".join(inspected(FIXTURES / "inspector-tensorrt10.json").split())
    assert f"Row major linear FP16 format → {there}" in shown


def test_leftover_quantization_is_flagged_and_the_inputs_own_is_not(int8_graph: Path) -> None:
    table = layers_of(int8_graph)
    assert "/maxpool/MaxPool_output_0/Q" in [x.name for x in table.layers if x.is_qdq]
    assert table.layers[0].onnx_nodes == ("images/Q",)
    assert not table.layers[0].is_qdq


def test_a_tensorrt_plan_is_read_from_the_table_beside_it(int8_graph: Path, tmp_path: Path) -> None:
    plan = tmp_path / "rtx.plan"
    made = build_engine(int8_graph, "tensorrt_rtx", "int8", TensorRtRtxConfig(), plan)
    with pytest.raises(InputError, match=r"no table of layers rtx\.plan\.layers\.json beside it"):
        layers_of(plan)
    write_beside(plan, *made)
    assert layers_of(plan) == made[1]


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_with_a_gpu_of_the_wrong_kind_the_library_is_asked_and_refuses(
    int8_graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU is pretended, the library and its refusal are real."""
    plan = tmp_path / "rtx.plan"
    build_engine(int8_graph, "tensorrt_rtx", "int8", TensorRtRtxConfig(), plan)
    gpu = Gpu("NVIDIA GeForce RTX 3090", "8.6", "580.65.06")
    monkeypatch.setattr("tasks.runtimes.trt.engine.find_gpu", lambda: gpu)
    with pytest.raises(InputError, match=r"tensorrt_rtx 1\S+ cannot load rtx\.plan .*GPU driver"):
        layers_of(plan)


def test_float_and_int8_stand_side_by_side(
    float_graph: Path, int8_graph: Path, tmp_path: Path
) -> None:
    """Where the float plan has one kernel for conv, Add and ReLU, INT8 has its several."""
    options = TensorRtRtxConfig()
    left, right = (
        build_engine(graph, "tensorrt_rtx", precision, options, tmp_path / "plan")[1]
        for graph, precision in ((float_graph, "float32"), (int8_graph, "int8"))
    )
    pairs = side_by_side(left, right)
    assert sum(len(pair.left) for pair in pairs) == len(left.layers)
    assert sum(len(pair.right) for pair in pairs) == len(right.layers)
    (pair,) = [x for x in pairs if "/layer1/layer1.0/Add" in x.nodes]
    assert [x.type for x in pair.left] == ["correlation"]
    assert [x.type for x in pair.right] == ["correlation", "kgen"]


def test_names_of_a_float_and_a_wrapped_export_agree() -> None:
    names = '{"Layers": ["%s + %s", "%s"], "Bindings": []}'
    left = inspector.layer_table(
        names % ("/layer1/layer1.0/conv1/Conv", "/layer1/layer1.0/relu1/Relu", "/fc/Conv")
    )
    right = inspector.layer_table(
        names
        % (
            "/model_fp32/layer1/0/conv1/Constant_2_output_0 + /model_fp32/layer1/0/conv1/Conv",
            "/model_fp32/layer1/0/conv1/Relu",
            "/model_fp32/fc/Conv",
        )
    )
    pairs = side_by_side(left, right)
    assert [(len(x.left), len(x.right)) for x in pairs] == [(1, 1), (1, 1)]
    assert (
        canonical("/layer4/layer4.0/downsample/downsample.0/Conv") == "layer4/0/downsample/0/Conv"
    )


def test_openvino_plans_are_opened_where_no_table_is(int8_graph: Path, tmp_path: Path) -> None:
    build_engine(int8_graph, "openvino", "int8", OpenVinoConfig(), tmp_path / "ov.plan")
    assert len(layers_of(tmp_path / "ov.plan").integer_convolutions) == 20
