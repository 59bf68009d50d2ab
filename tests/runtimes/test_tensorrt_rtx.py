"""Plans for GPUs that are not here, built by the real compiler."""

from collections import Counter
from pathlib import Path

import onnx
import pytest

from schemas.engine import ShapeRange, TensorRtRtxConfig
from schemas.errors import InputError
from tasks.runtimes.gpu import find_gpu
from tasks.runtimes.tensorrt_rtx import TensorRtRtxRuntime
from tasks.runtimes.trt.engine import load
from tests.runtimes.qdq_graphs import export, quantize

RUNTIME = TensorRtRtxRuntime()


@pytest.fixture(scope="module")
def plan(resnet18_int8: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = tmp_path_factory.mktemp("plans") / "rtx.plan"
    RUNTIME.build(resnet18_int8, plan, TensorRtRtxConfig())
    return plan


def test_every_convolution_of_resnet18_runs_int8(resnet18_int8: Path, tmp_path: Path) -> None:
    built = RUNTIME.build(resnet18_int8, tmp_path / "plan", TensorRtRtxConfig())
    assert len(built.layers.integer_convolutions) == 20
    assert built.layers.float_convolutions == ()
    assert built.inputs[0].shape == (-1, 3, 32, 32)
    assert built.peak_memory_bytes is not None
    assert built.peak_memory_bytes > 100e6


@pytest.mark.alone
def test_building_again_gives_the_same_bytes(
    resnet18_int8: Path, plan: Path, tmp_path: Path
) -> None:
    """Of five; names hold addresses, which the builder's threads move where others disturb them."""
    plans = [plan.read_bytes()]
    for number in range(4):
        RUNTIME.build(resnet18_int8, tmp_path / str(number), TensorRtRtxConfig())
        plans.append((tmp_path / str(number)).read_bytes())
    assert Counter(plans).most_common(1)[0][1] >= 3


def test_the_float_plan_is_three_times_as_big_and_fuses_every_add(
    resnet18: Path, plan: Path, tmp_path: Path
) -> None:
    built = RUNTIME.build(resnet18, tmp_path / "plan", TensorRtRtxConfig())
    assert len(built.layers.float_convolutions) == 20
    assert plan.stat().st_size <= 0.35 * (tmp_path / "plan").stat().st_size
    fused = [x for x in built.layers.layers if x.is_convolution and len(x.onnx_nodes) == 3]
    assert len(fused) == 8


def test_a_scale_that_is_no_scalar_shows_as_float_convolutions(
    resnet18_int8: Path, tmp_path: Path
) -> None:
    """What the builder says nothing about: shape (1,) means "per axis", and INT8 is gone."""
    model = onnx.load(resnet18_int8)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("activation_"):
            tensor.dims.append(1)
    onnx.save(model, tmp_path / "vector.onnx")
    built = RUNTIME.build(tmp_path / "vector.onnx", tmp_path / "plan", TensorRtRtxConfig())
    assert len(built.layers.float_convolutions) == 20


def test_one_plan_for_several_gpu_generations(resnet18_int8: Path, tmp_path: Path) -> None:
    options = TensorRtRtxConfig(
        compute_capability="8.0", also_compute_capabilities=("8.6", "8.9", "12.0")
    )
    built = RUNTIME.build(resnet18_int8, tmp_path / "plan", options)
    assert len(built.layers.integer_convolutions) == 20


def test_timings_are_kept_and_taken_up_again(resnet18_int8: Path, tmp_path: Path) -> None:
    options = TensorRtRtxConfig(timing_cache=tmp_path / "timings")
    RUNTIME.build(resnet18_int8, tmp_path / "plan", options)
    (kept,) = (tmp_path / "timings").rglob("*.timings")
    assert RUNTIME.fingerprint()["tensorrt_rtx"] in kept.parent.name
    kept.with_name("0" * 64 + ".timings").write_bytes(b"damaged")
    RUNTIME.build(resnet18_int8, tmp_path / "again", options)
    assert kept.exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"compute_capability": "9.0"}, "compute_capability 9.0 is not one that tensorrt_rtx"),
        ({"compute_capability": "7.5"}, "/fc/Gemm.*FP32 GEMM is not supported.*int8.fp16 graph"),
        ({"timeout_s": 0.01}, "took longer than 0.01 s and was ended: raise .* timeout_s"),
        (
            {"profiles": ({"image": ShapeRange(min=(1,), opt=(1,), max=(1,))},)},
            "no input image: did you mean images",
        ),
        (
            {
                "profiles": (
                    {
                        "images": ShapeRange(
                            min=(1, 3, 64, 64), opt=(1, 3, 64, 64), max=(8, 3, 64, 64)
                        )
                    },
                )
            },
            "1x3x64x64 does not fit input images of shape anyx3x32x32",
        ),
        ({"refit": True}, "leave refit out"),
    ],
)
def test_what_cannot_be_built_is_one_line_and_leaves_nothing(
    resnet18: Path, tmp_path: Path, options: dict[str, object], line: str
) -> None:
    config = TensorRtRtxConfig.model_validate(options)
    with pytest.raises(InputError, match=line) as caught:
        RUNTIME.build(resnet18, tmp_path / "plan", config)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_the_parser_refuses_names_the_node(
    resnet18_int8: Path, tmp_path: Path
) -> None:
    model = onnx.load(resnet18_int8)
    for tensor in model.graph.initializer:
        if tensor.name == "activation_zero":
            tensor.raw_data = b"\x05"
    onnx.save(model, tmp_path / "shifted.onnx")
    with pytest.raises(InputError, match=r"shifted.onnx at node images/Q \(Quantize"):
        RUNTIME.build(tmp_path / "shifted.onnx", tmp_path / "plan", TensorRtRtxConfig())


def test_a_static_batch_needs_no_profile(tmp_path: Path) -> None:
    graph = quantize(export("resnet18", tmp_path, batch=2), tmp_path / "int8.onnx")
    built = RUNTIME.build(graph, tmp_path / "plan", TensorRtRtxConfig())
    assert built.inputs[0].shape == (2, 3, 32, 32)
    assert len(built.layers.integer_convolutions) == 20


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_without_a_gpu_loading_a_plan_says_so(plan: Path, tmp_path: Path) -> None:
    import tensorrt_rtx

    with pytest.raises(InputError, match="GPU driver"):
        load(tensorrt_rtx, plan)
    (tmp_path / "other.plan").write_bytes(b"no plan" * 100)
    with pytest.raises(InputError, match=r"other\.plan: it is truncated or no plan"):
        load(tensorrt_rtx, tmp_path / "other.plan")
    assert RUNTIME.cannot_run() == "no NVIDIA GPU here"
