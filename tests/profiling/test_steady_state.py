"""Timing a session for long leaves nothing behind, and takes nothing anew."""

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from schemas.profiling import ProfileConfig
from tasks.profiling.alternate import alternate
from tasks.runtimes.onnxruntime import OnnxRuntimeSession
from tasks.runtimes.openvino import OpenVinoSession
from tasks.runtimes.protocol import Session

pytestmark = pytest.mark.alone

BATCH = np.zeros((1, 3, 8, 8), np.float32)
CALLS = 10_000


@pytest.fixture(params=["openvino", "onnxruntime"])
def session(request: pytest.FixtureRequest, graphs: Path) -> Session:
    if request.param == "openvino":
        return OpenVinoSession(graphs / "openvino.plan", threads=1)
    return OnnxRuntimeSession(graphs / "float.onnx", optimize=True, threads=1)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_ten_thousand_calls_keep_no_memory(session: Session) -> None:
    tracemalloc.start()
    try:
        session.time(BATCH, 2000)
        gc.collect()
        # Python keeps some freed objects for the next call, once; a collection drops those.
        session.time(BATCH, 200)
        resident, before = resident_bytes(), tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        times = session.time(BATCH, CALLS)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The times themselves stay; stamps, their differences and quotients are there for a moment.
    # What else this process does comes to some kilobytes; an object kept a call, to 160 at least.
    assert after - before <= times.nbytes + 65_536
    assert peak - before <= 4 * times.nbytes + 65_536
    assert resident_bytes() - resident < 2 << 20


def test_no_call_copies_its_images_or_its_answers(session: Session) -> None:
    """Both are far larger than what may come and go in 10 calls."""
    images = np.zeros((4096, 3, 8, 8), np.float32)
    assert session.infer(images).nbytes > 80_000
    session.time(images, 5)
    gc.collect()
    taken = []
    tracemalloc.start()
    try:
        session.time(images, 5)
        # What other threads of this process take meanwhile only adds, and not each time.
        for _ in range(5):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            times = session.time(images, 10)
            taken.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert min(taken) <= 4 * times.nbytes + 40_000


def test_rounds_do_not_pile_up(session: Session) -> None:
    config = ProfileConfig(rounds=3, calls=100, warmup_calls=0)
    alternate({"x": session}, BATCH, config, "test")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        alternate({"x": session}, BATCH, config.model_copy(update={"rounds": 100}), "test")
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 65_536
    finally:
        tracemalloc.stop()
