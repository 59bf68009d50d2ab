"""pycuda's memory, streams, events and graphs do on a GPU what the CUDA session takes them for."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torchvision

from schemas.engine import TensorInfo
from schemas.errors import InputError
from tasks.runtimes.cuda.session import CudaSession
from tests.gpu.networks import Perceptron, TorchModule, Weights

pytestmark = pytest.mark.gpu

SIZES = (3 * 16 * 16, 256, 128, 10)
IMAGES = TensorInfo(name="images", dtype="float32", shape=(-1, 3, 16, 16))
LOGITS = TensorInfo(name="logits", dtype="float32", shape=(-1, 10))
RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def weights() -> Iterator[Weights]:
    pytest.importorskip("pycuda")
    from tasks.runtimes.cuda.context import PrimaryContext

    with PrimaryContext():
        made = Weights(SIZES)
        yield made
        for layer in made.device:
            for block in layer:
                block.free()
        made.device.clear()
        del made.kernel


def opened(weights: Weights, **options: bool) -> CudaSession:
    return CudaSession(lambda: Perceptron(weights), IMAGES, LOGITS, **options)


def batch(images: int) -> np.ndarray:  # type: ignore[type-arg]
    return RNG.standard_normal((images, 3, 16, 16), np.float32)


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("images", [1, 7, 64])
def test_kernels_give_the_logits_of_the_cpu(weights: Weights, graphs: bool, images: int) -> None:
    session = opened(weights, graphs=graphs)
    for _ in range(3):
        fresh = batch(images)
        np.testing.assert_allclose(session.infer(fresh), weights.expected(fresh), atol=1e-4)
    session.close()


def test_the_kernels_are_captured(weights: Weights) -> None:
    session = opened(weights)
    session.infer(batch(2))
    assert all(lane.has_graph for lanes in session._lanes.values() for lane in lanes)
    session.close()


def test_batches_in_flight_come_back_in_order(weights: Weights) -> None:
    session = opened(weights)
    batches = [batch(16) for _ in range(20)]
    answers = session.infer_many(iter(batches), streams=4)
    for answer, images in zip(answers, batches, strict=True):
        np.testing.assert_allclose(answer, weights.expected(images), atol=1e-4)
    session.close()


def test_phases_add_up_to_about_the_call(weights: Weights) -> None:
    session = opened(weights)
    images = batch(64)
    session.time(images, 200)
    parts = session.time_phases(images, 200)
    whole = np.median(session.time(images, 200))
    on_gpu = np.median(parts.h2d + parts.compute + parts.d2h)
    assert min(parts.h2d.min(), parts.compute.min(), parts.d2h.min()) > 0
    # Four events and their gaps are part of the phases and not of the call.
    assert 0.3 * whole < on_gpu < whole + 0.05
    session.close()


def test_a_torch_network_runs_on_pycudas_stream_beside_torch(weights: Weights) -> None:  # noqa: ARG001
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=10)
    images = TensorInfo(name="images", dtype="float32", shape=(-1, 3, 32, 32))
    session = CudaSession(lambda: TorchModule(network, 10), images, LOGITS, graphs=False)
    fresh = RNG.standard_normal((8, 3, 32, 32), np.float32)
    answer = session.infer(fresh)
    with torch.inference_mode():
        # Torch's own stream and memory, in the same context, after and before pycuda's.
        expected = network(torch.from_numpy(fresh).cuda()).cpu().numpy()
        again = session.infer(fresh)
    np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(answer, again)
    session.close()


def test_nothing_leaks_over_ten_thousand_calls(weights: Weights) -> None:
    session = opened(weights)
    images = batch(8)
    with session._context as driver:
        for _ in range(200):
            session.infer(images)
        before = driver.mem_get_info()[0]
        resident = resident_bytes()
        for _ in range(10_000):
            session.infer(images)
        assert driver.mem_get_info()[0] == before
    assert resident_bytes() - resident < 2 << 20
    session.close()


def test_opening_and_closing_gives_all_memory_back(weights: Weights) -> None:
    with opened(weights)._context as driver:
        free = []
        for round_number in range(30):
            session = opened(weights)
            for images in (1, 32, 256):
                session.infer(batch(images))
            session.close()
            if round_number >= 5:
                free.append(driver.mem_get_info()[0])
    # Under a sanitizer, whose own memory grows, this one is left out.
    assert len(set(free)) == 1


def test_a_full_gpu_is_one_line_and_leaves_it_usable(weights: Weights) -> None:
    session = opened(weights)
    with session._context as driver:
        free = driver.mem_get_info()[0]
        blocks = [driver.mem_alloc(free - (64 << 20))]
        try:
            # 4 bytes for each of 768 values, beyond the 64 MiB left.
            with pytest.raises(InputError, match=r"the GPU's memory is full: .*smaller batch"):
                session.infer(np.zeros((40_000, 3, 16, 16), np.float32))
        finally:
            for block in blocks:
                block.free()
    fresh = batch(4)
    np.testing.assert_allclose(session.infer(fresh), weights.expected(fresh), atol=1e-4)
    session.close()


def resident_bytes() -> int:
    from pathlib import Path

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
