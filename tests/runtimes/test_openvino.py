"""OpenVINO plans compute what the graph says, at any batch, with the threads asked for."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from schemas.engine import OpenVinoConfig
from schemas.errors import InputError
from tasks.engine.half import to_half
from tasks.runtimes import openvino
from tasks.runtimes.clock import time_calls
from tasks.runtimes.onnxruntime import OnnxRuntimeSession
from tasks.runtimes.openvino import OpenVinoRuntime
from tasks.runtimes.processor import cpu
from tests.runtimes.qdq_graphs import export, quantize

RUNTIME = OpenVinoRuntime()


@pytest.fixture(scope="module")
def plan(resnet18_int8: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = tmp_path_factory.mktemp("plans") / "int8.plan"
    RUNTIME.build(resnet18_int8, plan, OpenVinoConfig())
    return plan


def images(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 3, size, size)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 5, 16])
def test_logits_are_those_of_onnx_runtime(plan: Path, resnet18_int8: Path, count: int) -> None:
    expected = OnnxRuntimeSession(resnet18_int8).infer(images(count))
    # A few roundings fall the other way, each a step of one activation. Without an 8-bit dot
    # product oneDNN halves weights that meet int8, to keep its 16-bit sums from saturating.
    tolerance = 0.05 if "vnni" in cpu()["cpu_flags"] else 0.15
    np.testing.assert_allclose(RUNTIME.open(plan).infer(images(count)), expected, atol=tolerance)


def test_the_rest_of_the_network_stays_float32(resnet18: Path, tmp_path: Path) -> None:
    """Without the precision hint, CPUs with bfloat16 are three digits off here."""
    RUNTIME.build(resnet18, tmp_path / "float.plan", OpenVinoConfig())
    logits = RUNTIME.open(tmp_path / "float.plan").infer(images(4))
    expected = OnnxRuntimeSession(resnet18).infer(images(4))
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_float16_plan_is_half_as_large_and_runs_in_float16_where_the_processor_can(
    resnet18: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = to_half(resnet18, tmp_path / "half.onnx")
    for graph, plan in ((resnet18, "float.plan"), (half, "half.plan")):
        RUNTIME.build(graph, tmp_path / plan, OpenVinoConfig())
    sizes = [(tmp_path / plan).stat().st_size for plan in ("half.plan", "float.plan")]
    assert sizes[0] < 0.51 * sizes[1]
    logits = RUNTIME.open(tmp_path / "half.plan").infer(images(4))
    expected = OnnxRuntimeSession(resnet18).infer(images(4))
    assert 0 < np.abs(logits - expected).max() < 0.02

    def hint(plan: str) -> object:
        return RUNTIME.open(tmp_path / plan)._properties["INFERENCE_PRECISION_HINT"]

    for can, wanted in ((False, "f32"), (True, "f16")):
        monkeypatch.setattr(openvino, "computes_float16", lambda can=can: can)
        assert hint("half.plan") == wanted
        assert hint("float.plan") == "f32"


@pytest.mark.parametrize("threads", [1, 2])
def test_throughput_is_of_all_images_with_several_requests_under_way(
    plan: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = RUNTIME.open(plan, threads=threads)
    timed: list[float] = []

    def clock(call: Callable[[], object], calls: int) -> np.ndarray:  # type: ignore[type-arg]
        timed.extend(times := time_calls(call, calls))
        return np.array(times)

    monkeypatch.setattr(openvino, "time_calls", clock)
    found = session.throughput(images(3), 7)
    # 7 calls of 3 images, timed as one.
    assert found == pytest.approx(7 * 3 * 1000 / timed[0])
    with pytest.raises(InputError, match="do not fit the plan"):
        session.throughput(images(1, size=16), 7)


def test_each_layer_tells_the_formats_that_it_reads_and_writes(
    resnet18_int8: Path, tmp_path: Path
) -> None:
    built = RUNTIME.build(resnet18_int8, tmp_path / "plan", OpenVinoConfig())
    convolutions = built.layers.integer_convolutions
    # oneDNN's INT8 convolutions read and write channels last.
    assert {(x.input_formats[0], x.output_formats) for x in convolutions} == {("acdb", ("acdb",))}
    reorders = [x for x in built.layers.layers if x.type == "Reorder"]
    assert all(x.input_formats[0] for x in reorders)


def test_convolutions_run_int8_and_are_traced_to_the_graph(
    resnet18_int8: Path, tmp_path: Path
) -> None:
    built = RUNTIME.build(resnet18_int8, tmp_path / "plan", OpenVinoConfig())
    assert len(built.layers.integer_convolutions) == 20
    assert built.layers.float_convolutions == ()
    traced = {node for layer in built.layers.layers for node in layer.onnx_nodes}
    assert {"/conv1/Conv", "/layer4/layer4.1/conv2/Conv", "/fc/Gemm"} <= traced


def test_a_plan_is_the_same_bytes_again(resnet18_int8: Path, plan: Path, tmp_path: Path) -> None:
    RUNTIME.build(resnet18_int8, tmp_path / "again", OpenVinoConfig())
    assert (tmp_path / "again").read_bytes() == plan.read_bytes()


def test_threads_are_taken_from_open_not_from_the_build(plan: Path) -> None:
    session = RUNTIME.open(plan, threads=1)
    session.infer(images(1))
    (request,) = session._requests.values()
    compiled = request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


def test_a_fixed_batch_is_fed_in_slices(tmp_path: Path) -> None:
    fixed = export("resnet18", tmp_path, batch=4)
    RUNTIME.build(quantize(fixed, tmp_path / "int8.onnx"), tmp_path / "plan", OpenVinoConfig())
    session = RUNTIME.open(tmp_path / "plan")
    whole = session.infer(images(10))
    assert whole.shape == (10, 10)
    np.testing.assert_allclose(whole[:4], session.infer(images(10)[:4]), atol=1e-6)
    with pytest.raises(InputError, match="takes 4 images at a time, not 1"):
        session.time(images(1), 1)


def test_images_of_any_size_where_the_graph_takes_them(resnet18: Path, tmp_path: Path) -> None:
    model = onnx.load(resnet18)
    for axis, name in ((2, "H"), (3, "W")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, tmp_path / "any.onnx")
    built = RUNTIME.build(tmp_path / "any.onnx", tmp_path / "plan", OpenVinoConfig())
    assert built.inputs[0].shape == (-1, 3, -1, -1)
    session = RUNTIME.open(tmp_path / "plan")
    reference = OnnxRuntimeSession(tmp_path / "any.onnx")
    for size in (32, 64):
        expected = reference.infer(images(2, size))
        np.testing.assert_allclose(session.infer(images(2, size)), expected, atol=1e-4)


def test_a_time_for_every_call(plan: Path) -> None:
    times = RUNTIME.open(plan, threads=1).time(images(1), 7)
    assert times.shape == (7,)
    assert (times > 0).all()


def test_what_openvino_itself_takes_is_part_of_the_call(plan: Path) -> None:
    """Both of one call: the way there from Python is in the one and not in the other."""
    session, around = RUNTIME.open(plan, threads=1), []

    def timed(*arguments: object, **options: object) -> object:
        started = time.perf_counter_ns()
        try:
            return infer(*arguments, **options)
        finally:
            around.append((time.perf_counter_ns() - started) / 1e6)

    session.time(images(2), 1)
    request = session._requests[2, 3, 32, 32]
    infer, request.infer = request.infer, timed
    phases = session.time_phases(images(2), 9)
    assert phases.compute.shape == (9,)
    assert (phases.compute > 0).all()
    assert (phases.compute < around).all()
    assert not phases.h2d.size


def test_images_of_another_size_are_refused(plan: Path) -> None:
    with pytest.raises(InputError, match="5x3x64x64 do not fit the plan, which takes Nx3x32x32"):
        RUNTIME.open(plan).infer(images(5, size=64))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "other"])
def test_a_damaged_plan_is_refused_in_one_line(plan: Path, tmp_path: Path, damage: str) -> None:
    data = bytearray(plan.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
    else:
        data = bytearray(b"not a plan")
    (tmp_path / "plan").write_bytes(data)
    with pytest.raises(InputError, match="is no OpenVINO plan or is damaged") as caught:
        RUNTIME.open(tmp_path / "plan")
    assert "\n" not in str(caught.value)
