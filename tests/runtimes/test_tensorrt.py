"""TensorRT's code path, with TensorRT for RTX in TensorRT's place and faults put in by hand.

What is real here: parser, network, profiles, builder, the worker process and its end. What is
not: TensorRT itself, and the GPU.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from schemas.engine import Manifest, ShapeRange, TensorRtConfig
from schemas.errors import InputError
from tasks.runtimes import tensorrt as runtime_module
from tasks.runtimes.gpu import Gpu
from tasks.runtimes.onnxruntime import OnnxRuntimeSession
from tasks.runtimes.tensorrt import TensorRtRuntime
from tasks.runtimes.trt.build import build_plan, nodes_of_layer
from tasks.runtimes.trt.engine import load
from tasks.runtimes.trt.unquantize import quantized_nodes, unquantize

FAKE = "tensorrt_fake"


def test_a_plan_with_profiles_and_every_option(
    resnet18_int8: Path, tmp_path: Path, fake_tensorrt: pytest.MonkeyPatch
) -> None:
    del fake_tensorrt
    small = ShapeRange(min=(1, 3, 32, 32), opt=(1, 3, 32, 32), max=(4, 3, 32, 32))
    large = ShapeRange(min=(1, 3, 32, 32), opt=(64, 3, 32, 32), max=(128, 3, 32, 32))
    options = TensorRtConfig(
        profiles=({"images": small}, {"images": large}),
        optimization_level=2,
        workspace_bytes=1 << 28,
        sparse_weights=True,
        timing_cache=tmp_path / "timings",
    )
    built = build_plan(FAKE, resnet18_int8, tmp_path / "plan", options)
    assert (tmp_path / "plan").stat().st_size > 1e6
    assert len(built.layers.integer_convolutions) == 20


def test_progress_comes_from_the_builder_step_by_step(
    resnet18_int8: Path, tmp_path: Path, fake_tensorrt: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, str]] = []

    def track(items: Iterable[int], label: str, total: int) -> Iterator[int]:
        assert total == 100
        for item in items:
            seen.append((item, label))
            yield item

    fake_tensorrt.setattr("tasks.runtimes.trt.process.track", track)
    build_plan(FAKE, resnet18_int8, tmp_path / "plan", TensorRtConfig())
    percents = [percent for percent, _ in seen]
    assert percents == list(range(1, len(percents) + 1))
    assert len(percents) > 50
    assert {label for _, label in seen} == {"building resnet18-int8.onnx"}


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("out_of_memory", "ran out of GPU memory building .*: lower workspace_bytes"),
        ("killed", "the builder was killed, most often because memory ran out"),
        ("crash", r"ended with status 1 \(RuntimeError: CUDA initialization failure"),
        ("hang", "took longer than 3 s and was ended"),
    ],
)
def test_a_builder_that_fails_is_one_line(
    resnet18_int8: Path, tmp_path: Path, fake_tensorrt: pytest.MonkeyPatch, fault: str, line: str
) -> None:
    fake_tensorrt.setenv("FAKE_TENSORRT", fault)
    timeout = 3.0 if fault == "hang" else 60.0
    with pytest.raises(InputError, match=line) as caught:
        build_plan(FAKE, resnet18_int8, tmp_path / "plan", TensorRtConfig(timeout_s=timeout))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "plan").exists()


def test_a_node_without_an_int8_kernel_is_left_in_float(
    resnet18_int8: Path,
    tmp_path: Path,
    fake_tensorrt: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = "/layer2/layer2.0/conv1/Conv"
    fake_tensorrt.setenv("FAKE_TENSORRT", "no_kernel:onnx::Conv_208/DQ")
    fake_tensorrt.setenv("FAKE_TENSORRT_LAYER", f"{node} + /layer2/layer2.0/relu/Relu")
    fake_tensorrt.setattr(logging.getLogger("enginesmith"), "propagate", True)
    built = build_plan(FAKE, resnet18_int8, tmp_path / "plan", TensorRtConfig())
    assert built.unquantized_nodes == (node,)
    assert [x.name for x in built.layers.float_convolutions] != []
    assert len(built.layers.integer_convolutions) == 19
    assert f"no INT8 kernel for {node}" in caplog.text


def test_retries_end(
    resnet18_int8: Path, tmp_path: Path, fake_tensorrt: pytest.MonkeyPatch
) -> None:
    fake_tensorrt.setenv("FAKE_TENSORRT", "no_kernel:onnx::Conv_208/DQ")
    fake_tensorrt.setenv("FAKE_TENSORRT_LAYER", "{ForeignNode[/conv1/Conv.../fc/Gemm]}")
    with pytest.raises(InputError, match="has no kernel for"):
        build_plan(FAKE, resnet18_int8, tmp_path / "plan", TensorRtConfig())


def test_a_range_of_nodes_is_the_quantized_ones_from_first_to_last(resnet18_int8: Path) -> None:
    quantized = quantized_nodes(resnet18_int8)
    named = nodes_of_layer(
        "{ForeignNode[/layer1/layer1.0/conv1/Conv.../layer1/layer1.1/conv1/Conv]}", quantized
    )
    assert named == [
        "/layer1/layer1.0/conv1/Conv",
        "/layer1/layer1.0/conv2/Conv",
        "/layer1/layer1.0/Add",
        "/layer1/layer1.1/conv1/Conv",
    ]


def test_unquantized_nodes_compute_with_the_same_weights(
    resnet18_int8: Path, resnet18: Path, tmp_path: Path
) -> None:
    """With every node in float, what is left of the difference is the weights' rounding."""
    graph = unquantize(resnet18_int8, quantized_nodes(resnet18_int8), tmp_path / "float.onnx")
    assert quantized_nodes(graph) == []
    images = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)
    expected, before, after = (
        OnnxRuntimeSession(x).infer(images) for x in (resnet18, resnet18_int8, graph)
    )
    assert 0 < np.abs(after - expected).max() < 0.7 * np.abs(before - expected).max()


def test_interrupting_a_build_ends_its_process(resnet18_int8: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches the parent alone here, as Prefect's cancel does."""
    fakes = Path(__file__).parent / "fakes"
    script = (
        "import signal, sys; from pathlib import Path\n"
        # A parent in the background of a shell would hand down that interrupts are ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from schemas.engine import TensorRtConfig\n"
        "from tasks.runtimes.trt.build import build_plan\n"
        f"build_plan('{FAKE}', Path({str(resnet18_int8)!r}), Path({str(tmp_path / 'plan')!r}),"
        " TensorRtConfig())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(fakes), "FAKE_TENSORRT": "hang"}
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    worker = _wait_for(lambda: _children(parent.pid))
    parent.send_signal(signal.SIGINT)
    parent.communicate(timeout=30)
    assert _wait_for(lambda: not Path(f"/proc/{worker[0]}").exists())


@pytest.mark.parametrize("building", [False, True], ids=["at once", "while it builds"])
def test_a_killed_parent_takes_the_builder_along(
    resnet18_int8: Path, tmp_path: Path, building: bool
) -> None:
    fakes = Path(__file__).parent / "fakes"
    script = (
        "from pathlib import Path\n"
        "from schemas.engine import TensorRtConfig\n"
        "from tasks.runtimes.trt.build import build_plan\n"
        f"build_plan('{FAKE}', Path({str(resnet18_int8)!r}), Path({str(tmp_path / 'plan')!r}),"
        " TensorRtConfig())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(fakes), "FAKE_TENSORRT": "hang"}
    parent = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, cwd=Path(__file__).parents[2]
    )
    worker = _wait_for(lambda: _children(parent.pid))
    if building:
        _wait_for(lambda: "tensorrt_rtx" in Path(f"/proc/{worker[0]}/maps").read_text())
    parent.kill()
    parent.wait()
    assert _wait_for(lambda: not Path(f"/proc/{worker[0]}").exists())


def _children(pid: int) -> list[int]:
    try:
        return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _wait_for(condition: object) -> object:
    assert callable(condition)
    for _ in range(1200):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("did not happen within two minutes")


@pytest.fixture
def on_a_3090(monkeypatch: pytest.MonkeyPatch) -> TensorRtRuntime:
    gpu = Gpu("NVIDIA GeForce RTX 3090", "8.6", "580.65.06")
    monkeypatch.setattr("tasks.runtimes.gpu.find_gpu", lambda: gpu)
    monkeypatch.setattr(runtime_module, "find_gpu", lambda: gpu)
    monkeypatch.setattr(runtime_module, "installed_version", lambda *_: "10.13.2")
    return TensorRtRuntime()


@pytest.mark.parametrize(
    ("built", "options", "line"),
    [
        ({}, {}, None),
        ({"tensorrt": "11.0.0"}, {}, "built by TensorRT 11.0.0, and 10.13.2 is installed"),
        ({"tensorrt": "10.9.0"}, {"version_compatible": True}, None),
        ({"tensorrt": "11.0.0"}, {"version_compatible": True}, "built by TensorRT 11.0.0"),
        ({"gpu": "NVIDIA A100"}, {}, "built for NVIDIA A100, and this machine has NVIDIA GeForce"),
        ({"gpu": "NVIDIA A100"}, {"hardware_compatibility": "ampere_plus"}, None),
        (
            {"gpu": "NVIDIA A100", "compute_capability": "8.0"},
            {"hardware_compatibility": "same_compute_capability"},
            "built for 8.0, and this machine has 8.6",
        ),
    ],
)
def test_a_plan_for_another_version_or_gpu_is_refused(
    on_a_3090: TensorRtRuntime,
    built: dict[str, str],
    options: dict[str, object],
    line: str | None,
) -> None:
    manifest = Manifest(
        engine="tensorrt",
        precision="int8",
        graph_sha256="0" * 64,
        plan_sha256="1" * 64,
        plan_bytes=1,
        fingerprint={**on_a_3090.fingerprint(), **built},
        options=TensorRtConfig.model_validate(options).model_dump(mode="json"),
        inputs=(),
        outputs=(),
        build_s=1.0,
    )
    if line is None:
        on_a_3090.check(manifest)
    else:
        with pytest.raises(InputError, match=line):
            on_a_3090.check(manifest)


@pytest.mark.parametrize(
    ("diagnosis", "line"),
    [
        ("OLD_CUDA_DRIVER", "the GPU driver is too old: update it"),
        ("UNSUPPORTED_CC", "built for another GPU generation"),
        ("VERSION_MISMATCH", "built by another version"),
    ],
)
def test_the_librarys_own_diagnosis_becomes_a_line(
    tmp_path: Path, diagnosis: str, line: str
) -> None:
    import tensorrt_rtx as trt

    bit = trt.EngineInvalidityDiagnostics.__members__[diagnosis]
    runtime = SimpleNamespace(get_engine_validity=lambda _: (trt.EngineValidity.INVALID, int(bit)))
    module = SimpleNamespace(
        __name__="tensorrt_rtx",
        __version__=trt.__version__,
        ILogger=trt.ILogger,
        Runtime=lambda _: runtime,
        EngineInvalidityDiagnostics=trt.EngineInvalidityDiagnostics,
    )
    (tmp_path / "x.plan").write_bytes(b"plan")
    with pytest.raises(InputError, match=line):
        load(module, tmp_path / "x.plan")  # type: ignore[arg-type]


def test_building_without_a_gpu_names_the_way_out(
    resnet18_int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_module, "find_gpu", lambda: None)
    monkeypatch.setattr(runtime_module, "installed_version", lambda *_: "10.13.2")
    with pytest.raises(InputError, match=r"without an NVIDIA GPU: .* or use tensorrt_rtx"):
        TensorRtRuntime().build(resnet18_int8, tmp_path / "plan", TensorRtConfig())
