"""The fusion contract holds exactly where the compiled plan does what it demands."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from schemas.base import Gate
from schemas.engine import FusionContract, OpenVinoConfig, TensorRtRtxConfig
from tasks.engine.build import build_engine
from tasks.engine.contract import check_contract, standalone_adds
from tasks.runtimes.onnx_names import OnnxNames
from tasks.runtimes.trt import inspector
from tests.runtimes.qdq_graphs import quantize

FIXTURES = Path(__file__).parent / "fixtures"
STRICT = FusionContract(convs_int8="all", float_convs=(), standalone_adds=0)


def rtx(graph: Path, folder: Path, contract: FusionContract) -> dict[str, Gate]:
    options = TensorRtRtxConfig(contract=contract)
    manifest, _ = build_engine(graph, "tensorrt_rtx", "int8", options, folder / "plan")
    return {gate.name.removeprefix("tensorrt_rtx contract "): gate for gate in manifest.contract}


def test_a_well_placed_resnet18_keeps_the_contract(int8_graph: Path, tmp_path: Path) -> None:
    gates = rtx(int8_graph, tmp_path, STRICT)
    assert set(gates) == {"convs_int8", "standalone_adds"}
    assert all(gate.passed for gate in gates.values())


def test_cut_adds_break_it_by_name(cut_graph: Path, tmp_path: Path) -> None:
    gates = rtx(cut_graph, tmp_path, STRICT)
    assert gates["convs_int8"].passed
    assert not gates["standalone_adds"].passed
    assert "8, at most 0 allowed" in gates["standalone_adds"].detail
    assert "/layer3/layer3.1/Add" in gates["standalone_adds"].detail


@pytest.mark.parametrize(
    ("allowed", "passed"), [((), False), (("/layer4/*",), True), (("/layer3/*",), False)]
)
def test_a_float_convolution_breaks_it_unless_it_is_allowed(
    float_graph: Path, tmp_path: Path, allowed: tuple[str, ...], passed: bool
) -> None:
    node = "/layer4/layer4.1/conv2/Conv"
    graph = quantize(float_graph, tmp_path / "mixed.onnx", float_nodes=(node,))
    gates = rtx(graph, tmp_path, FusionContract(convs_int8="all", float_convs=allowed))
    assert gates["convs_int8"].passed is passed
    assert (node in gates["convs_int8"].detail) is not passed


def test_kernels_are_counted(int8_graph: Path, tmp_path: Path) -> None:
    gates = rtx(int8_graph, tmp_path, FusionContract(max_kernels=41, max_reformats=0))
    assert gates["max_kernels"].passed
    assert gates["max_reformats"].passed
    assert not rtx(int8_graph, tmp_path, FusionContract(max_kernels=20))["max_kernels"].passed


def test_openvinos_runtime_model_answers_too(cut_graph: Path, tmp_path: Path) -> None:
    options = OpenVinoConfig(contract=STRICT)
    manifest, _ = build_engine(cut_graph, "openvino", "int8", options, tmp_path / "plan")
    passed = {gate.name: gate.passed for gate in manifest.contract}
    assert passed == {
        "openvino contract convs_int8": True,
        "openvino contract standalone_adds": False,
    }


def test_float_plans_are_not_held_to_it(float_graph: Path, tmp_path: Path) -> None:
    options = OpenVinoConfig(contract=STRICT)
    manifest, _ = build_engine(float_graph, "openvino", "float32", options, tmp_path / "plan")
    assert manifest.contract == ()


@pytest.fixture
def fixture_graph(tmp_path: Path) -> OnnxNames:
    """The graph that the hand-written inspector tables are of."""
    chain = [
        ("DequantizeLinear", "stem.weight/DQ", ["w"], "wd"),
        ("Conv", "/stem/Conv", ["images", "wd"], "a"),
        ("Relu", "/stem/Relu", ["a"], "b"),
        ("Conv", "/block/conv/Conv", ["b", "wd"], "c"),
        ("Add", "/block/Add", ["c", "b"], "d"),
        ("Relu", "/block/Relu", ["d"], "e"),
        ("Conv", "/late/conv/Conv", ["e", "w"], "f"),
        ("Add", "/late/Add", ["f", "e"], "g"),
        ("Relu", "/late/Relu", ["g"], "h"),
        ("QuantizeLinear", "/late/Relu_output_0/QuantizeLinear", ["h"], "i"),
        ("Gemm", "/fc/Gemm", ["i"], "logits"),
    ]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [out], name=name) for op, name, inputs, out in chain],
        "fixture",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(np.zeros(1, np.float32), "w")],
    )
    onnx.save(helper.make_model(graph), tmp_path / "fixture.onnx")
    return OnnxNames.of(tmp_path / "fixture.onnx")


@pytest.mark.parametrize("version", [10, 11])
def test_tensorrts_inspector_answers_in_both_its_dialects(
    fixture_graph: OnnxNames, version: int
) -> None:
    table = fixture_graph.annotate(inspector.read(FIXTURES / f"inspector-tensorrt{version}.json"))
    gates = check_contract(table, fixture_graph, STRICT)
    assert [gate.passed for gate in gates] == [False, False]
    assert gates[0].detail.endswith("in float: /late/conv/Conv")
    assert standalone_adds(table, fixture_graph) == ["/late/Add"]


def test_a_table_without_precisions_shows_nothing_and_fails(fixture_graph: OnnxNames) -> None:
    table = inspector.layer_table(
        '{"Layers": ["/stem/Conv + /stem/Relu", "/block/conv/Conv + /block/Add + /block/Relu"],'
        ' "Bindings": ["images", "logits"]}'
    )
    assert [x.is_convolution for x in table.layers] == [True, True]
    (gate,) = check_contract(table, fixture_graph, FusionContract(convs_int8="all"))
    assert not gate.passed
