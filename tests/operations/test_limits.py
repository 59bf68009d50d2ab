"""Work that must be alone: what holds a limit, and that two holders wait for each other."""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prefect import flow

import flows.limits
from flows.limits import limit_of
from schemas.errors import InputError
from tasks.caching import LIMIT_TAG, stage
from tests.operations.conftest import Service


@pytest.fixture
def lasting_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.limits, "has_lasting_server", lambda: True)


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.limits, "_has_gpu", lambda: True)


@pytest.mark.usefixtures("lasting_server", "a_gpu")
@pytest.mark.parametrize(
    ("stage", "task", "arguments", "limit"),
    [
        ("profiling", "profile", ("tensorrt",), "gpu"),
        ("profiling", "profile", ("tensorrt_rtx",), "gpu"),
        ("profiling", "profile", ("openvino",), "timing"),
        ("evaluate", "predict_engine", ("tensorrt",), "gpu"),
        ("evaluate", "predict_engine", ("openvino",), None),
        ("evaluate", "predict_graph", ("tensorrt",), None),
        ("engine", "engine", ("tensorrt", "int8"), "gpu"),
        # Plans for RTX are built ahead of time, by the processor.
        ("engine", "engine", ("tensorrt_rtx", "int8"), None),
        ("train", "train", (), "gpu"),
        ("surgery", "surgery", ("tensorrt",), None),
        ("export", "export", (), None),
    ],
)
def test_what_uses_a_gpu_holds_its_limit(
    stage: str, task: str, arguments: tuple[str, ...], limit: str | None
) -> None:
    assert limit_of(stage, task, arguments) == limit


@pytest.mark.usefixtures("lasting_server")
def test_without_a_gpu_only_timing_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.limits, "_has_gpu", lambda: False)
    assert limit_of("train", "train", ()) is None
    assert limit_of("profiling", "profile", ("tensorrt",)) == "timing"


@pytest.mark.usefixtures("lasting_server", "a_gpu")
def test_a_second_machine_has_limits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINESMITH_GPU_LIMIT", "gpu-b")
    assert limit_of("profiling", "profile", ("tensorrt",)) == "gpu-b"


@pytest.mark.usefixtures("a_gpu")
def test_a_run_with_a_server_of_its_own_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("ENGINESMITH_OWN_SERVER", "1")
    assert limit_of("profiling", "profile", ("tensorrt",)) is None
    monkeypatch.delenv("ENGINESMITH_OWN_SERVER")
    assert limit_of("profiling", "profile", ("tensorrt",)) == "gpu"


Intervals = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Meeting:
    """Who holds the slot and who needs none meet while both work, however slow the machine is."""

    holder_came: threading.Event = field(default_factory=threading.Event)
    other_came: threading.Event = field(default_factory=threading.Event)

    def come(self, limit: str | None) -> bool:
        mine, theirs = self.holder_came, self.other_came
        if limit is None:
            mine, theirs = theirs, mine
        mine.set()
        return theirs.wait(120)


def work(name: str, limit: str | None, intervals: Intervals, meeting: Meeting) -> None:
    """Run a stage that notes when it really worked."""

    @stage("profiling")
    def busy(name: str) -> str:
        started = time.monotonic()
        assert meeting.come(limit), "nobody worked beside it"
        time.sleep(0.5)
        intervals[name] = (started, time.monotonic())
        return name

    @flow(name="busy")
    def alone() -> None:
        busy.with_options(tags={LIMIT_TAG + limit} if limit else set(), persist_result=False)(name)

    alone()


def overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


@pytest.mark.slow
def test_two_holders_never_overlap_and_others_run_beside_them(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINESMITH_ARTIFACTS", str(tmp_path))
    intervals: Intervals = {}
    meeting = Meeting()

    def in_thread(name: str, limit: str | None) -> None:
        with service.client():
            work(name, limit, intervals, meeting)

    asked: list[tuple[str, str | None]] = [("first", "gpu"), ("second", "gpu"), ("free", None)]
    threads = [threading.Thread(target=in_thread, args=each) for each in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(intervals) == {"first", "second", "free"}
    assert not overlap(intervals["first"], intervals["second"])
    assert any(overlap(intervals["free"], intervals[name]) for name in ("first", "second"))


@pytest.mark.slow
def test_a_limit_that_nobody_made_is_an_error_and_not_a_free_pass(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINESMITH_ARTIFACTS", str(tmp_path))
    with service.client(), pytest.raises(InputError, match="no concurrency limit gpu-nobody-made"):
        work("never", "gpu-nobody-made", {}, Meeting())
