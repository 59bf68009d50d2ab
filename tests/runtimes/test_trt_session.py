"""A TensorRT engine as a session: profiles, addresses and refusals, without a GPU.

Engine and context are stand-ins that keep TensorRT's order of calls; that the calls exist, and with
these types, is claimed in test_trt_types.py. Nothing here has run on hardware.
"""

import hashlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from schemas.engine import Manifest, TensorRtConfig
from schemas.errors import InputError
from tasks.runtimes import gpu
from tasks.runtimes.plans import open_plan, sealed
from tasks.runtimes.tensorrt import TensorRtRuntime
from tasks.runtimes.tensorrt_rtx import TensorRtRtxRuntime
from tasks.runtimes.trt.session import session_of
from tests.runtimes.fakes.pycuda_fake import FakeDriver

RNG = np.random.default_rng(0)


class Context:
    """Doubles its input, and insists that profile, shape and addresses were set before."""

    def __init__(self, driver: FakeDriver, ranges: list[tuple[int, int, int]]) -> None:
        self.driver, self.ranges = driver, ranges
        self.profile = 0
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()
        self.refuses = False

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        assert stream > 0
        assert not self.shape, "the profile comes first"
        self.profile = index
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "images"
        least, _, most = self.ranges[self.profile]
        assert least <= shape[0] <= most, "outside the profile chosen"
        self.shape = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream > 0
        if self.refuses:
            return False
        source = self.driver.memory[self.addresses["images"]].view(np.float32)
        self.driver.memory[self.addresses["logits"]].view(np.float32)[:] = 2 * source
        return True


class Engine:
    """One input ``images`` [-1, 6] and one output ``logits`` [-1, 6]."""

    num_io_tensors = 2

    def __init__(self, driver: FakeDriver, ranges: list[tuple[int, int, int]]) -> None:
        self.driver, self.ranges = driver, ranges
        self.num_optimization_profiles = len(ranges)
        self.contexts: list[Context] = []
        self.dtype = "FLOAT"

    def get_tensor_name(self, index: int) -> str:
        return ("images", "logits", "features")[index]

    def get_tensor_mode(self, name: str) -> Any:
        return SimpleNamespace(name="INPUT" if name == "images" else "OUTPUT")

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=self.dtype if name == "logits" else "FLOAT")

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, 1, 2, 3) if name == "images" else (-1, 6)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert name == "images"
        return [(size, 1, 2, 3) for size in self.ranges[profile]]

    def create_execution_context(self) -> Context | None:
        self.contexts.append(Context(self.driver, self.ranges))
        return self.contexts[-1]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    made, package = FakeDriver(), ModuleType("pycuda")
    package.driver = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", made)  # type: ignore[misc]
    return made


def images(count: int) -> Any:
    return RNG.standard_normal((count, 1, 2, 3), np.float32)


def test_each_shape_gets_the_profile_that_holds_it(driver: FakeDriver) -> None:
    engine = Engine(driver, [(1, 1, 4), (5, 32, 64)])
    session = session_of(engine, "x.plan", graphs=False)  # type: ignore[arg-type]
    for count in (1, 4, 64, 1):
        batch = images(count)
        np.testing.assert_array_equal(session.infer(batch), 2 * batch.reshape(count, 6))
    assert [context.profile for context in engine.contexts] == [0, 0, 1, 0]
    with pytest.raises(InputError, match="outside the plan's profile, 1x1x2x3 to 4x1x2x3 or 5x"):
        session.infer(images(65))


def test_a_plan_that_is_no_classifier_is_refused(driver: FakeDriver) -> None:
    engine = Engine(driver, [(1, 1, 4)])
    engine.num_io_tensors = 3
    with pytest.raises(InputError, match=r"x\.plan has 1 inputs and 2 outputs"):
        session_of(engine, "x.plan", graphs=True)  # type: ignore[arg-type]
    integers = Engine(driver, [(1, 1, 4)])
    integers.dtype = "INT32"
    with pytest.raises(InputError, match="tensor logits of the plan is INT32"):
        session_of(integers, "x.plan", graphs=True)  # type: ignore[arg-type]


def test_a_context_that_gets_no_memory_or_fails_is_one_line(driver: FakeDriver) -> None:
    engine = Engine(driver, [(1, 1, 4)])
    engine.create_execution_context = lambda: None  # type: ignore[method-assign]
    session = session_of(engine, "x.plan", graphs=False)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not fit into the GPU's memory"):
        session.infer(images(1))
    failing = Engine(driver, [(1, 1, 4)])
    session = session_of(failing, "x.plan", graphs=False)  # type: ignore[arg-type]
    session.infer(images(1))
    failing.contexts[0].refuses = True
    with pytest.raises(InputError, match=r"refused to run the plan on images of shape \(1, 1, 2"):
        session.infer(images(1))


@pytest.mark.parametrize("runtime", [TensorRtRuntime(), TensorRtRtxRuntime()])
def test_a_gpu_without_pycuda_says_where_to_get_it(
    runtime: TensorRtRuntime | TensorRtRtxRuntime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = gpu.Gpu("NVIDIA GeForce RTX 3090", "8.6", "580.65.06")
    monkeypatch.setattr("tasks.runtimes.gpu.find_gpu", lambda: here)
    monkeypatch.setattr(f"{type(runtime).__module__}.find_gpu", lambda: here)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(
        InputError, match=r"x\.plan cannot run here \(pycuda.*requirements-gpu\.lock"
    ):
        runtime.open(tmp_path / "x.plan")


@pytest.mark.parametrize("compatible", [False, True])
def test_only_a_version_compatible_plan_may_bring_code_for_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compatible: bool
) -> None:
    """TensorRT's lean runtime is in such a plan, and TensorRT opens it when told to alone."""
    import tensorrt_rtx as trt

    runtimes: list[SimpleNamespace] = []

    def runtime(_: object) -> SimpleNamespace:
        made = SimpleNamespace(
            engine_host_code_allowed=False, deserialize_cuda_engine=lambda _: None
        )
        runtimes.append(made)
        return made

    # Both modules have it, under this name.
    assert trt.Runtime.engine_host_code_allowed
    module = SimpleNamespace(
        __name__="tensorrt", __version__="10.13.2", ILogger=trt.ILogger, Runtime=runtime
    )
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr(TensorRtRuntime, "cannot_run", lambda _: None)
    monkeypatch.setattr(TensorRtRuntime, "fingerprint", lambda _: {"tensorrt": "10.13.2"})
    plan = tmp_path / "x.plan"
    plan.write_bytes(b"plan")
    manifest = Manifest(
        engine="tensorrt",
        precision="int8",
        graph_sha256="0" * 64,
        plan_sha256=hashlib.sha256(b"plan").hexdigest(),
        plan_bytes=4,
        fingerprint={"tensorrt": "10.13.2"},
        options=TensorRtConfig(version_compatible=compatible).model_dump(mode="json"),
        inputs=(),
        outputs=(),
        build_s=1.0,
    )
    with pytest.raises(InputError, match=r"cannot load x\.plan"):
        open_plan(plan, sealed(manifest))
    assert [x.engine_host_code_allowed for x in runtimes] == [compatible]
