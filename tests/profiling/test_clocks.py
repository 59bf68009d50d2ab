"""A clock that moved is noticed, wherever it is read."""

from pathlib import Path

import pytest

from schemas.errors import InputError
from tasks.profiling import clocks
from tasks.profiling.clocks import ClockWatch, moved_note, require_steady


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    for number in range(2):
        policy = tmp_path / "devices/system/cpu/cpufreq" / f"policy{number}"
        policy.mkdir(parents=True)
        (policy / "scaling_cur_freq").write_text("3000000\n")
    return tmp_path


def set_khz(sysfs: Path, khz: int) -> None:
    for file in sysfs.glob("devices/system/cpu/cpufreq/*/scaling_cur_freq"):
        file.write_text(f"{khz}\n")


def watched(sysfs: Path, frequencies: list[int]) -> ClockWatch:
    watch = ClockWatch(on_gpu=False, sysfs=sysfs)
    for khz in frequencies:
        set_khz(sysfs, khz)
        watch.sample()
    return watch


def test_a_steady_clock_is_steady(sysfs: Path) -> None:
    report = watched(sysfs, [3_000_000, 3_010_000, 2_990_000]).report()
    assert report is not None
    assert (report.source, report.unit, report.moved) == ("cpufreq", "MHz", False)
    require_steady(report)


def test_a_clock_that_falls_is_noticed_and_can_be_demanded_not_to(sysfs: Path) -> None:
    report = watched(sysfs, [3_000_000] * 5 + [2_000_000] * 5).report()
    assert report is not None
    assert report.moved
    assert "from 2000 to 3000 MHz" in moved_note(report)
    with pytest.raises(InputError, match="set the governor to performance"):
        require_steady(report)


def test_without_cpufreq_a_fixed_computation_is_timed(tmp_path: Path) -> None:
    watch = ClockWatch(on_gpu=False, sysfs=tmp_path)
    for _ in range(3):
        watch.sample()
    report = watch.report()
    assert report is not None
    assert report.source == "spin"
    assert 0 < report.low <= report.median <= report.high


def test_a_gpus_clock_is_read_through_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([1980.0, 1980.0, 1410.0, 1410.0])
    monkeypatch.setattr(clocks, "sm_clock_mhz", lambda: next(readings))
    watch = ClockWatch(on_gpu=True)
    for _ in range(4):
        watch.sample()
    report = watch.report()
    assert report is not None
    assert report.moved
    assert "lock-gpu-clocks" in moved_note(report)


def test_a_clock_that_cannot_be_read_is_not_called_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "sm_clock_mhz", lambda: None)
    watch = ClockWatch(on_gpu=True)
    watch.sample()
    assert watch.report() is None
    with pytest.raises(InputError, match="cannot be read here"):
        require_steady(watch.report())
