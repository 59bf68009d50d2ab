"""Sweeps on real images, cached and ranked."""

import logging
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from flows.commands.sweep import _numbers, _observers
from schemas.errors import InputError
from schemas.sweep import SweepReport
from tasks.artifacts.store import ARTIFACTS_VARIABLE, Store
from tests.flows.conftest import small_job


def swept(root: Path, caplog: pytest.LogCaptureFixture, **choices: Any) -> tuple[SweepReport, int]:
    """The report, and how many stages were computed."""
    from flows.sweep import sweep

    caplog.clear()
    caplog.set_level(logging.INFO, logger="enginesmith")
    with (
        temporary_settings({PREFECT_LOCAL_STORAGE_PATH: root / "results"}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(ARTIFACTS_VARIABLE, str(root))
        result = sweep(small_job(accuracy={"images": 200}), **choices)
    computed = [
        line
        for line in caplog.messages
        if line.endswith(" s") and line.split()[0] in ("calibrate", "convert", "predict_engine")
    ]
    return Store(root).load(result.report, SweepReport), len(computed)


@pytest.mark.thorough
def test_a_sweep_ranks_every_combination_and_computes_none_twice(
    prefect_server: None,  # noqa: ARG001
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    report, first = swept(tmp_path, caplog, observers=("minmax",), images=(32,), seeds=(0, 1))
    assert first == 6
    assert [(g.observer, g.images, g.seeds) for g in report.groups] == [("minmax", 32, (0, 1))]
    wider, second = swept(
        tmp_path, caplog, observers=("minmax", "percentile"), images=(32,), seeds=(0, 1)
    )
    assert second == 6
    assert {(r.observer, r.seed) for r in wider.runs} == {
        (observer, seed) for observer in ("minmax", "percentile") for seed in (0, 1)
    }
    drops = [group.drop_points for group in wider.groups]
    assert drops == sorted(drops)
    for group in wider.groups:
        mine = [r.accuracy for r in wider.runs if r.observer == group.observer]
        assert group.drop_points == pytest.approx(sum(a.drop_points for a in mine) / 2)
        assert group.drop_low < group.drop_points < group.drop_high
        assert group.worst_drop_points == max(a.drop_points for a in mine)


@pytest.mark.parametrize("text", ["best", "minmax,", ""])
def test_observers_on_the_command_line(text: str) -> None:
    if text == "minmax,":
        assert _observers(text) == ("minmax",)
        return
    with pytest.raises(InputError, match=r"no such observer|at least one"):
        _observers(text)


def test_numbers_on_the_command_line() -> None:
    assert _numbers("--seeds", "0,1,1", least=0) == (0, 1)
    for wrong in ("0", "-1", "many"):
        with pytest.raises(InputError, match=f"--images {wrong}: write whole numbers"):
            _numbers("--images", wrong, least=1)
