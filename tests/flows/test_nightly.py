"""A nightly ends with every good build built, whatever becomes of the others; by real runs."""

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from typer.testing import CliRunner

from flows.cli import app
from schemas.errors import InputError
from schemas.history import NightlySummary
from tasks.artifacts.store import ARTIFACTS_VARIABLE, Store
from tasks.history.records import append, read_history
from tests.flows.conftest import Workshop, small_job
from tests.flows.test_cli import enginesmith


def write(folder: Path, name: str, **changes: Any) -> None:
    document = small_job(name=name, publish={}, **changes).model_dump(mode="json")
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


def run_nightly(root: Path, jobs: Path) -> tuple[Any, NightlySummary]:
    from flows.nightly import JobsFailedError, nightly

    settings = {PREFECT_LOCAL_STORAGE_PATH: root / "results"}
    with temporary_settings(settings), pytest.MonkeyPatch.context() as patch:
        patch.setenv(ARTIFACTS_VARIABLE, str(root))
        patch.setenv("ENGINESMITH_JOBS", str(jobs))
        state: Any = nightly(on="here", return_state=True)
    result = state.result(raise_on_failure=False)
    return state, result.summary if isinstance(result, JobsFailedError) else result


def pointer(store: Store, job: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.backend.read(f"published/{job}/latest.json"))
    return found


@pytest.mark.thorough
def test_one_broken_job_of_three_is_a_named_failure_beside_two_good_builds(
    warm: Workshop, tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    write(jobs, "one")
    write(jobs, "two")
    (jobs / "broken.yaml").write_text("name: broken\ncalibratoin: {}\n", encoding="utf-8")
    state, summary = run_nightly(warm.root, jobs)
    assert state.is_failed()
    outcomes = {outcome.job: outcome for outcome in summary.outcomes}
    assert [outcomes[x].outcome for x in ("one", "two", "broken")] == ["passed", "passed", "failed"]
    assert "did you mean calibration?" in outcomes["broken"].detail
    assert outcomes["one"].sequence == 1
    before = pointer(warm.store, "one")

    # The next night leaves half the network in float: all the job's own gates hold, its plan grows.
    write(jobs, "one", quantization={"exclude": ["stages.2"]})
    write(jobs, "two", accuracy={"min_top1": 0.999})
    _, summary = run_nightly(warm.root, jobs)
    outcomes = {outcome.job: outcome for outcome in summary.outcomes}
    assert outcomes["two"].outcome == "gates failed"
    assert outcomes["two"].sequence == 2
    assert outcomes["one"].outcome == "gates failed"
    assert "regression: openvino plan size" in outcomes["one"].detail
    assert "changed at calibrate: quantization.exclude.0 none -> stages.2" in outcomes["one"].detail
    assert pointer(warm.store, "one") == before
    assert [build.passed for build in read_history(warm.store, "one").builds] == [True, False]


def test_a_quiet_night_says_only_how_its_jobs_ended(warm: Workshop, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small_job().model_dump(mode="json")))
    done = enginesmith("nightly", "--quiet", "--jobs", tmp_path, "--artifacts", warm.root)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "1 of 1 jobs passed"


def test_a_clock_behind_an_earlier_build_s_is_said_and_the_order_stays(
    warm: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    first = read_history(warm.store, "small").builds[-1]
    ahead = datetime.now(UTC) + timedelta(hours=3)
    append(warm.store, first.model_copy(update={"sequence": 2, "finished": ahead, "run": "ahead"}))
    logging.getLogger("enginesmith").propagate = True
    warm.run(small_job())
    (line,) = {x.getMessage() for x in caplog.records if "clock" in x.getMessage()}
    assert re.search(r"clock is 10\d\d\d s behind an earlier build's; .*: set the clock", line)
    builds = read_history(warm.store, "small").builds
    assert [build.sequence for build in builds] == [1, 2, 3]
    assert 10_000 < builds[-1].clock_behind_s < 10_800
    assert builds[-1].baseline == 2


def test_a_night_without_a_job_is_bad_input_and_no_crash(
    prefect_server: None,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    from flows.nightly import nightly

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENGINESMITH_JOBS", str(tmp_path))
        state: Any = nightly(on="here", return_state=True)
    assert (state.name, state.type.value) == ("Bad input", "FAILED")
    assert state.message == f"there is no job file in {tmp_path}: put one there, NAME.yaml"
    said = CliRunner().invoke(
        app, ["nightly", "--jobs", str(tmp_path), "--artifacts", str(tmp_path / "store")]
    )
    assert isinstance(said.exception, InputError)


def test_an_unknown_job_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, "one")
    write(tmp_path, "quick")
    said = CliRunner().invoke(
        app, ["nightly", "quik", "--jobs", str(tmp_path), "--artifacts", str(tmp_path / "a")]
    )
    assert said.exception is not None
    assert "did you mean quick?" in str(said.exception)
