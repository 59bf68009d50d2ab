"""The CUDA session's bookkeeping, on a GPU that is made of the CPU's memory.

What real memory, streams and graphs do is claimed in tests/gpu/test_cuda_session.py.
"""

import logging
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from schemas.engine import ShapeRange, TensorInfo
from schemas.errors import InputError
from tasks.evaluate.predict import predict
from tasks.runtimes.cuda.executor import Stream
from tasks.runtimes.cuda.lane import Lane
from tasks.runtimes.cuda.session import CudaSession
from tests.runtimes.fakes.pycuda_fake import FakeDriver, FakeLibrary

IMAGES = TensorInfo(name="images", dtype="float32", shape=(-1, 1, 2, 3))
LOGITS = TensorInfo(name="logits", dtype="float32", shape=(-1, 6))
RNG = np.random.default_rng(0)


class Doubled:
    """A network that doubles its inputs, reading and writing where it was told to."""

    def __init__(self, driver: FakeDriver, library: FakeLibrary, dtype: str = "float32") -> None:
        self.driver, self.library, self.dtype = driver, library, dtype

    def bind(self, shape: tuple[int, ...], input_address: int, output_address: int) -> None:
        self.shape, self.addresses = shape, (input_address, output_address)

    def enqueue(self, stream: Stream) -> None:
        assert stream.handle > 0
        self.library.do(self._run)

    def _run(self) -> None:
        source, target = (self.driver.memory[address] for address in self.addresses)
        target.view(self.dtype)[:] = 2 * source.view(self.dtype)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    made, package = FakeDriver(), ModuleType("pycuda")
    package.driver = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", made)  # type: ignore[misc]
    return made


Open = Callable[..., CudaSession]


@pytest.fixture
def opened(driver: FakeDriver) -> Open:
    def open_session(
        images: TensorInfo = IMAGES,
        logits: TensorInfo = LOGITS,
        library: FakeLibrary | None = None,
        **options: object,
    ) -> CudaSession:
        library = library or FakeLibrary()
        return CudaSession(
            lambda: Doubled(driver, library, images.dtype),
            images,
            logits,
            library=library,
            **options,  # type: ignore[arg-type]
        )

    return open_session


def batch(images: int) -> np.ndarray:  # type: ignore[type-arg]
    return RNG.standard_normal((images, 1, 2, 3), np.float32)


@pytest.mark.parametrize("graphs", [True, False])
def test_logits_are_of_the_images_of_this_call(opened: Open, graphs: bool) -> None:
    session = opened(graphs=graphs)
    first, second = batch(4), batch(4)
    answer = session.infer(first)
    np.testing.assert_array_equal(session.infer(second), 2 * second.reshape(4, 6))
    # Not a view of a buffer that the second call has written to.
    np.testing.assert_array_equal(answer, 2 * first.reshape(4, 6))


def test_a_captured_network_is_launched_as_a_graph(opened: Open) -> None:
    library = FakeLibrary()
    session = opened(library=library)
    session.time(batch(2), 5)
    assert library.launches == 5


def test_what_cannot_be_captured_runs_without_a_graph_and_says_so(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    images = batch(2)
    with caplog.at_level(logging.WARNING, "enginesmith"):
        answer = opened(library=FakeLibrary(refuse=True)).infer(images)
    np.testing.assert_array_equal(answer, 2 * images.reshape(2, 6))
    assert "CAPTURE_INVALIDATED" in caplog.text


def test_further_calls_allocate_nothing(opened: Open, driver: FakeDriver) -> None:
    session, images = opened(), batch(3)
    session.infer(images)
    before = driver.allocations, driver.pinned
    for _ in range(50):
        session.infer(images)
    session.time(images, 50)
    session.time_phases(images, 50)
    assert (driver.allocations, driver.pinned) == before


def test_memory_of_earlier_shapes_is_given_back(opened: Open, driver: FakeDriver) -> None:
    session = opened()
    for images in (1, 2, 3, 4, 5):
        session.infer(batch(images))
    assert driver.used_bytes == (4 + 5) * 2 * 6 * 4
    session.close()
    assert driver.used_bytes == 0
    assert session.infer(batch(1)).shape == (1, 6)


def test_the_context_is_left_as_it_was(opened: Open, driver: FakeDriver) -> None:
    session = opened()
    list(session.infer_many([batch(2)] * 3))
    with pytest.raises(InputError):
        session.infer(batch(2)[:, :, :1])
    assert driver.depth == 0


def test_many_batches_come_back_in_order(opened: Open) -> None:
    session = opened()
    # One shape more than buffers are kept for, while others are under way.
    batches = [batch(size) for size in (2, 2, 2, 2, 5, 3, 2)]
    answers = list(session.infer_many(iter(batches), streams=3))
    for answer, images in zip(answers, batches, strict=True):
        np.testing.assert_array_equal(answer, 2 * images.reshape(-1, 6))


def test_the_next_batch_is_read_while_one_is_computed(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary: list[str] = []
    start, wait = Lane.start, Lane.wait
    monkeypatch.setattr(Lane, "start", lambda lane: (diary.append("start"), start(lane)))
    monkeypatch.setattr(Lane, "wait", lambda lane: (diary.append("wait"), wait(lane)))
    test_set = [batch(4), batch(4), batch(4), batch(2)]
    logits = predict(opened(), iter(test_set), 6, "a network")
    np.testing.assert_array_equal(logits, 2 * np.concatenate(test_set).reshape(-1, 6))
    assert diary == ["start", "start", "wait", "start", "wait", "wait", "start", "wait"]


def test_a_fixed_batch_is_filled_up(opened: Open) -> None:
    session = opened(
        IMAGES.model_copy(update={"shape": (4, 1, 2, 3)}),
        LOGITS.model_copy(update={"shape": (4, 6)}),
    )
    images = batch(6)
    np.testing.assert_array_equal(session.infer(images), 2 * images.reshape(6, 6))
    first, rest = session.infer_many([images[:4], images[4:]])
    np.testing.assert_array_equal(np.concatenate([first, rest]), 2 * images.reshape(6, 6))
    with pytest.raises(InputError, match=r"4 images at a time, not 6"):
        session.time(images, 1)


def test_half_precision_tensors_are_filled_from_float32(opened: Open) -> None:
    images = batch(2)
    half = {"dtype": "float16"}
    session = opened(IMAGES.model_copy(update=half), LOGITS.model_copy(update=half))
    answer = session.infer(images)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, 2 * images.reshape(2, 6), rtol=2e-3)


def test_phases_are_of_each_call(opened: Open) -> None:
    phases = opened().time_phases(batch(2), 9)
    for part in (phases.h2d, phases.compute, phases.d2h, phases.enqueue):
        assert part.shape == (9,)
        assert (part >= 0).all()


def test_throughput_counts_every_image(opened: Open) -> None:
    assert opened().throughput(batch(8), calls=20, streams=2) > 0


def test_outside_the_profile_is_one_line(opened: Open) -> None:
    limits = ShapeRange(min=(1, 1, 2, 3), opt=(4, 1, 2, 3), max=(8, 1, 2, 3))
    session = opened(limits=(limits,))
    assert session.infer(batch(8)).shape == (8, 6)
    with pytest.raises(InputError, match=r"9x1x2x3 .*profile, 1x1x2x3 to 8x1x2x3.*batch"):
        session.infer(batch(9))


def test_a_full_gpu_is_one_line(opened: Open, driver: FakeDriver) -> None:
    driver.capacity_bytes = 100
    with pytest.raises(InputError, match=r"GPU's memory is full: .* 32 images .* smaller batch"):
        opened().infer(batch(32))
    assert driver.depth == 0


def test_no_pycuda_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(InputError, match=r"pycuda does not load .*pip install pycuda"):
        CudaSession(lambda: None, IMAGES, LOGITS)  # type: ignore[arg-type, return-value]
